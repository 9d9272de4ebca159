import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { memoryTransport } from '../../../src/link/transport/memory.ts';
import { listenUnix, unixTransport } from '../../../src/link/transport/unix.ts';
import { transportContract } from '../../contract/transport.contract.ts';

transportContract('memory', () => {
  const both = memoryTransport();
  return Promise.resolve({ dialler: both, listener: both, close: () => Promise.resolve() });
});

transportContract('unix', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'cocos-u-'));
  const both = unixTransport(folder);
  return { dialler: both, listener: both, close: () => rm(folder, { recursive: true }) };
});

describe('listenUnix', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'cocos-u-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('lets only the owner connect, replaces a stale socket, and removes its own on close', async () => {
    const file = path.join(folder, 's');
    await writeFile(file, '');
    const listener = await listenUnix(file, () => undefined);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    await listener.close();
    await expect(stat(file)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('refuses a path that is too long for the kernel', async () => {
    await expect(listenUnix(path.join(folder, 's'.repeat(108)), () => undefined)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    });
  });
});
