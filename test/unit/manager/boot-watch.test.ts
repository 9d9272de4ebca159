import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EnclaveEvent } from '../../../src/machines/enclave.events.ts';
import { watchBoot } from '../../../src/manager/enclaves/boot-watch.ts';
import { LogLimit, limitLog } from '../../../src/manager/enclaves/log-limit.ts';
import { eventually } from '../../harness/eventually.ts';

describe('watchBoot', () => {
  let folder: string;
  let file: string;
  let events: EnclaveEvent[];
  const send = (event: EnclaveEvent) => void events.push(event);
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'cocos-boot-'));
    file = join(folder, 'console.log');
    events = [];
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('steps are reported as they come, also when a line is written in two parts', async () => {
    writeFileSync(file, 'COCOS-BOOT start\r\nsomething else\nCOCOS-BOOT mod');
    const watch = watchBoot(file, send, null);
    await eventually(() => expect(events).toEqual([{ type: 'boot.progressed', step: 'start' }]));
    appendFileSync(file, 'ules\n');
    await eventually(() => expect(events).toHaveLength(2));
    expect(events[1]).toEqual({ type: 'boot.progressed', step: 'modules' });
    expect(await watch.end()).toBe(false);
  });

  it.each([
    [
      'COCOS-INIT-FAILED: root-verity: dm-verity',
      { type: 'boot.failed', step: 'root-verity', reason: 'dm-verity' },
    ],
    [
      '[    1.2] Kernel panic - not syncing: dm-verity device corrupted',
      { type: 'vm.panicked', line: 'Kernel panic - not syncing: dm-verity device corrupted' },
    ],
    [
      "OVMF: Secure boot image verification failed.  Consider using the '-shim'",
      {
        type: 'boot.failed',
        step: 'firmware',
        reason: 'the kernel image was refused: Secure boot image verification failed',
      },
    ],
    [
      'BdsDxe: failed to load Boot0003 "x" from Pci(0x1): Access Denied',
      { type: 'boot.failed', step: 'firmware', reason: 'the kernel image was refused: Access Denied' },
    ],
  ] as const)('"%s" is reported once', async (line, event) => {
    writeFileSync(file, `${line}\n${line}\n`);
    expect(await watchBoot(file, send, null).end()).toBe(true);
    expect(events).toEqual([event]);
  });

  it('the last line is read although nothing ends it', async () => {
    writeFileSync(file, 'COCOS-INIT-FAILED: modules: module x.ko');
    expect(await watchBoot(file, send, null).end()).toBe(true);
  });

  it('a guest that writes without end causes a bounded number of reports', async () => {
    writeFileSync(file, `COCOS-BOOT ${'a'.repeat(100_000)}\n${'COCOS-BOOT again\n'.repeat(1_000)}`);
    expect(await watchBoot(file, send, null).end()).toBe(false);
    expect(events).toHaveLength(64);
  });

  it('a boot that is watched again reports only the steps after the last one that was reported', async () => {
    writeFileSync(file, 'COCOS-BOOT start\nCOCOS-BOOT modules\nCOCOS-BOOT agent\nCOCOS-BOOT done\n');
    const watch = watchBoot(file, send, 'modules');
    await eventually(() => expect(events).toHaveLength(2));
    appendFileSync(file, 'COCOS-BOOT modules\n');
    await watch.end();
    expect(events).toEqual(['agent', 'done', 'modules'].map((step) => ({ type: 'boot.progressed', step })));
  });

  it('a boot that is watched again reports a failure that nobody has seen', async () => {
    writeFileSync(file, 'COCOS-BOOT start\nCOCOS-INIT-FAILED: modules: module x.ko\n');
    expect(await watchBoot(file, send, 'start').end()).toBe(true);
    expect(events.map(({ type }) => type)).toEqual(['boot.failed']);
  });

  it('a stopped watch reports nothing more', async () => {
    writeFileSync(file, 'COCOS-BOOT start\n');
    const watch = watchBoot(file, send, null);
    watch.stop();
    expect(await watch.end()).toBe(false);
    expect(events).toEqual([]);
  });

  it('a console that is larger than a string can be is read once, and its last line is reported', async () => {
    writeFileSync(file, 'COCOS-BOOT start\n');
    truncateSync(file, 600 * 2 ** 20);
    appendFileSync(file, '\nCOCOS-BOOT late\n');
    await watchBoot(file, send, null).end();
    expect(events).toEqual(['start', 'late'].map((step) => ({ type: 'boot.progressed', step })));
  });

  it('a console over its limit is cut in the middle with a note, and what follows is reported', async () => {
    const limit = 64 * 1024;
    const lines = Array.from({ length: 20_000 }, (_, index) => `line ${index}\n`).join('');
    writeFileSync(file, `COCOS-BOOT start\n${lines}`);
    const watch = watchBoot(file, send, null, new LogLimit(file, limit));
    await eventually(() => expect(statSync(file).size).toBeLessThanOrEqual(limit));
    const text = readFileSync(file, 'utf8');
    expect(text.startsWith('COCOS-BOOT start\nline 0\n')).toBe(true);
    expect(text.endsWith('line 19999\n')).toBe(true);
    const [, cut] = /cocos-manager cut ([0-9]+) bytes/.exec(text) ?? [];
    const note = /\n\[[^\n]*\]\n/.exec(text)?.[0].length ?? 0;
    expect(Number(cut)).toBe(17 + lines.length - (text.length - note));
    appendFileSync(file, 'COCOS-BOOT late\n');
    await watch.end();
    expect(events).toEqual(['start', 'late'].map((step) => ({ type: 'boot.progressed', step })));
  });

  it('a console that goes on to grow is cut again, and the note counts all that was cut', async () => {
    const limit = new LogLimit(file, 4096);
    writeFileSync(file, 'a'.repeat(5000));
    await limit.enforce();
    const first = statSync(file).size;
    appendFileSync(file, 'b'.repeat(5000));
    await limit.enforce();
    const text = readFileSync(file, 'utf8');
    const counts = [...text.matchAll(/cocos-manager cut ([0-9]+) bytes/g)].map(([, count]) => Number(count));
    expect(first).toBeLessThan(4096);
    expect(statSync(file).size).toBeLessThan(4096);
    expect(counts).toHaveLength(1);
    expect(counts[0]).toBeGreaterThan(5000);
  });

  it('the log of a host program, which nothing else watches, is cut again and again', async () => {
    const end = limitLog(file, 4096);
    try {
      for (let round = 0; round < 2; round++) {
        appendFileSync(file, 'x'.repeat(100_000));
        await expect.poll(() => statSync(file).size).toBeLessThanOrEqual(4096);
      }
    } finally {
      end();
    }
  });

  it('a console that does not exist yet is waited for', async () => {
    const watch = watchBoot(file, send, null);
    writeFileSync(file, 'COCOS-BOOT start\n');
    await watch.end();
    expect(events).toEqual([{ type: 'boot.progressed', step: 'start' }]);
  });
});
