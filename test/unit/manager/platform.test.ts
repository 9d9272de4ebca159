import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Platform } from '../../../src/manager/enclaves/platform.ts';
import { RelayThread } from '../../../src/manager/relay/relay-thread.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'cocosai-platform-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the emulated platform', () => {
  it('reads its root again after a reading that failed', async () => {
    const file = path.join(folder, 'emulated-root.json');
    const platform = new Platform(folder);
    // A folder in the place of the file cannot be read, whoever runs the test.
    mkdirSync(file);
    await expect(platform.processor()).rejects.toMatchObject({ code: 'SNAPSHOT_INVALID' });
    rmdirSync(file);
    expect((await platform.processor()).certificates.length).toBeGreaterThan(0);
  });

  it('names a root that is damaged, and keeps it', async () => {
    const file = path.join(folder, 'emulated-root.json');
    writeFileSync(file, '{"damaged');
    const platform = new Platform(folder);
    await expect(platform.describeRoot()).rejects.toMatchObject({ code: 'SNAPSHOT_INVALID' });
    expect(readFileSync(file, 'utf8')).toBe('{"damaged');
  });
});

describe('the relay thread', () => {
  it.each([
    ['is missing', null],
    ['cannot be started', 'throw new Error("planted");'],
  ])('fails at once where its program %s', async (_, script) => {
    const program = path.join(folder, 'relay.mjs');
    if (script !== null) writeFileSync(program, script);
    const relays = new RelayThread(program, () => undefined);
    try {
      await expect(relays.open({ unix: path.join(folder, 'relay.sock') }, 'e1')).rejects.toMatchObject({
        code: 'HOST_PROGRAM_MISSING',
      });
      expect(existsSync(path.join(folder, 'relay.sock'))).toBe(false);
    } finally {
      await relays.stop();
    }
  });
});
