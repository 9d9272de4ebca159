import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockFolder, runFolder, stateFolder } from '../../../src/manager/store/folder-lock.ts';

const invalid = expect.objectContaining({ code: 'CONFIG_INVALID' });

describe('a folder of the manager', () => {
  let base: string;
  const at = (name: string) => path.join(base, name);
  beforeEach(() => {
    base = mkdtempSync(path.join(tmpdir(), 'cocos-lock-'));
  });
  afterEach(() => rmSync(base, { recursive: true, force: true }));

  it('is locked for one process, and free again when it is released', async () => {
    const release = await lockFolder(runFolder(at('run')));
    await expect(lockFolder(runFolder(at('run')))).rejects.toMatchObject({ code: 'STATE_LOCKED' });
    await release();
    await (await lockFolder(runFolder(at('run'))))();
  });

  it('is taken over when the process that locked it has ended, or its lock is damaged', async () => {
    mkdirSync(at('run'), { mode: 0o700 });
    writeFileSync(path.join(at('run'), 'lock.json'), JSON.stringify({ pid: 2 ** 22, startTime: 1 }));
    await (await lockFolder(runFolder(at('run'))))();
    writeFileSync(path.join(at('run'), 'lock.json'), '{');
    await (await lockFolder(runFolder(at('run'))))();
  });

  it.each([0o777, 0o750, 0o711])('is not used for sockets with the mode %o', async (mode) => {
    mkdirSync(at('run'));
    chmodSync(at('run'), mode);
    await expect(lockFolder(runFolder(at('run')))).rejects.toEqual(invalid);
  });

  it('is not used for records when others may write to it', async () => {
    mkdirSync(at('state'));
    chmodSync(at('state'), 0o755);
    await (await lockFolder(stateFolder(at('state'))))();
    chmodSync(at('state'), 0o775);
    await expect(lockFolder(stateFolder(at('state')))).rejects.toEqual(invalid);
  });

  it('is not used for sockets when it is a link', async () => {
    mkdirSync(at('real'), { mode: 0o700 });
    symlinkSync(at('real'), at('run'));
    await expect(lockFolder(runFolder(at('run')))).rejects.toEqual(invalid);
    await (await lockFolder(stateFolder(at('run'))))();
  });

  it.skipIf(process.getuid?.() !== 0)(
    'is not used when it belongs to another user (needs root)',
    async () => {
      mkdirSync(at('run'), { mode: 0o700 });
      chownSync(at('run'), 65_534, 65_534);
      await expect(lockFolder(runFolder(at('run')))).rejects.toEqual(invalid);
    },
  );

  it.each(['file', 'file/below'])(
    'is reported with its setting when it cannot be created: %s',
    async (name) => {
      writeFileSync(at('file'), '');
      await expect(lockFolder(stateFolder(at(name)))).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
        message: expect.stringContaining('COCOSAI_STATE_DIR'),
      });
    },
  );
});
