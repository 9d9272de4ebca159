import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { referenceValues, substitutesOf } from '../../../eos/reference-values.ts';
import { debianComponent } from '../../../eos/sbom.ts';
import type { PinnedPackage } from '../../../eos/unpack.ts';
import { firmwareState } from '../../../src/attestation/measure/snp.ts';
import { onlyBuild, parseReferenceValues } from '../../../src/attestation/policy/reference.ts';
import { attestationCrypto } from '../../../src/crypto/attestation-crypto.ts';
import { runCli } from '../../fakes/cli.ts';

/** An image with a package that is not the locked one says so in its reference values, its bill and to its verifier. */

const sha256 = '0'.repeat(64);
const own: PinnedPackage = {
  ...{
    wish: 'a',
    name: 'a',
    version: '1',
    sha256,
    use: 'guest',
    path: '/a',
    licences: ['MIT'],
    substitutes: null,
  },
};
const other: PinnedPackage = { ...own, wish: 'b', name: 'b', version: '2:1.1', substitutes: 'b 2:1.0-3' };
const SUBSTITUTE = { name: 'b', version: '2:1.1', substitutes: 'b 2:1.0-3' };
const firmware = Buffer.alloc(65_536);

function values(packages: readonly PinnedPackage[]): string {
  const image = {
    commandLine: 'cocos',
    rootHash: new Uint8Array(32),
    agent: firmware,
    node: firmware,
    files: {},
  };
  return referenceValues(
    { ...image, substitutes: substitutesOf(packages) },
    {
      firmware: { name: 'bios.bin', bytes: firmware },
      state: firmwareState(firmware, attestationCrypto),
      kernel: { name: 'vmlinuz', bytes: firmware },
      initrd: { name: 'initrd.img', bytes: firmware },
    },
  );
}

describe('an image with a package in the place of a locked one', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'cocos-e-'));
    for (const name of ['bios.bin', 'vmlinuz', 'initrd.img']) writeFileSync(join(folder, name), firmware);
    writeFileSync(join(folder, 'cmdline'), 'cocos');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('has reference values that name it; those of the locked packages name none', () => {
    expect(onlyBuild(parseReferenceValues(JSON.parse(values([own, other])))).substitutes).toEqual([
      SUBSTITUTE,
    ]);
    const locked = onlyBuild(parseReferenceValues(JSON.parse(values([own]))));
    expect(locked.substitutes).toBeUndefined();
    expect(locked.name).toMatch(/^EOS .* with bios\.bin$/);
  });

  it('has a bill of materials that marks it', () => {
    const marks = [own, other].map((entry) => debianComponent(entry, folder).properties);
    expect(marks).toEqual([undefined, [{ name: 'cocosai:substitutes', value: 'b 2:1.0-3' }]]);
  });

  it.each([
    ['is named by eos predict', [own, other], ['b 2:1.1', 'b 2:1.0-3']],
    ['is not named where there is none', [own], []],
  ])('%s', async (_, packages, named) => {
    writeFileSync(join(folder, 'reference-values.json'), values(packages));
    const { exit, text: shown } = await runCli('eos', 'predict', '--platform', 'emulated', folder);
    expect(exit).toBe(0);
    expect(shown.includes('note: ')).toBe(named.length > 0);
    for (const text of named) expect(shown).toContain(text);
  });
});
