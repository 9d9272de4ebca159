import { accessSync, chmodSync, constants, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type AcceleratorChoice, chooseAccelerator } from '../../../../src/manager/guests/vm/accelerator.ts';

function hasKvm(): boolean {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
if (!hasKvm()) console.warn('/dev/kvm cannot be opened: the tests of its probe are skipped');

describe('chooseAccelerator', () => {
  let folder: string;
  let cache: string | undefined;
  const notices: string[] = [];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'cocos-a-'));
    cache = process.env['COCOSAI_CACHE'];
    process.env['COCOSAI_CACHE'] = join(folder, 'cache');
    for (const name of ['kernel', 'initrd']) writeFileSync(join(folder, name), name);
    notices.length = 0;
  });

  afterEach(() => {
    if (cache === undefined) delete process.env['COCOSAI_CACHE'];
    else process.env['COCOSAI_CACHE'] = cache;
    rmSync(folder, { recursive: true });
  });

  /** A QEMU that counts its starts and writes `text` to the console file. */
  function fakeQemu(text: string): void {
    const script = `#!/bin/sh
if [ "$1" = --version ]; then echo "QEMU emulator version 7.2"; exit 0; fi
echo start >>${folder}/starts
for a in "$@"; do case $a in file,id=console,path=*) echo "${text}" >"\${a#*path=}";; esac; done
`;
    writeFileSync(join(folder, 'qemu'), script);
    chmodSync(join(folder, 'qemu'), 0o755);
  }

  const choose = (choice: AcceleratorChoice) =>
    chooseAccelerator({
      choice,
      qemu: join(folder, 'qemu'),
      kernel: join(folder, 'kernel'),
      initrd: join(folder, 'initrd'),
      vcpuType: 'EPYC-v3',
      notice: (message) => notices.push(message),
    });
  const starts = () => readFileSync(join(folder, 'starts'), 'utf8').split('\n').length - 1;

  it('takes a choice that was made without probing', async () => {
    expect(await choose('kvm')).toBe('kvm');
    expect(await choose('tcg')).toBe('tcg');
  });

  it.skipIf(!hasKvm())('takes KVM when a guest reports, and remembers it', async () => {
    fakeQemu('COCOS-PROBE-OK');
    expect(await choose('auto')).toBe('kvm');
    expect(await choose('auto')).toBe('kvm');
    expect(starts()).toBe(1);
    expect(notices).toEqual([]);
  });

  it.skipIf(!hasKvm())(
    'emulates with a notice when no guest reports, although the device opens',
    async () => {
      fakeQemu('Probing EDD');
      expect(await choose('auto')).toBe('tcg');
      expect(notices).toHaveLength(1);
    },
  );

  it.skipIf(!hasKvm())('probes anew for another image', async () => {
    fakeQemu('COCOS-PROBE-OK');
    await choose('auto');
    writeFileSync(join(folder, 'kernel'), 'another');
    await choose('auto');
    expect(starts()).toBe(2);
  });

  it.skipIf(!hasKvm())('takes a damaged memory for none', async () => {
    fakeQemu('COCOS-PROBE-OK');
    await choose('auto');
    writeFileSync(join(folder, 'cache/accelerator.json'), '{"a": 1');
    expect(await choose('auto')).toBe('kvm');
    expect(starts()).toBe(2);
  });
});
