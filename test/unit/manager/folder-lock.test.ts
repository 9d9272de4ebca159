import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
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

  it('is locked by one of many processes that begin at the same moment, over the lock of one that has ended', async () => {
    const module = new URL('../../../src/manager/store/folder-lock.ts', import.meta.url).href;
    // Each says that it is ready and waits for a word, so that none has finished before the last begins.
    const script = `
      import { lockFolder, runFolder } from '${module}';
      // One that holds the lock goes on until it is killed.
      process.on('message', () => lockFolder(runFolder(process.argv[1])).then(
        () => process.send('locked'),
        ({ code }) => process.send(code),
      ));
      process.send('ready');`;
    const spawnOne = () =>
      spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script, at('run')], {
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      });
    const processes = Array.from({ length: 6 }, spawnOne);
    try {
      await Promise.all(processes.map((each) => once(each, 'message')));
      mkdirSync(at('run'), { mode: 0o700 });
      writeFileSync(path.join(at('run'), 'lock.json'), JSON.stringify({ pid: 4_000_000, startTicks: '1' }));
      const answers = processes.map((each) => once(each, 'message'));
      for (const each of processes) each.send('go');
      const said = (await Promise.all(answers)).flat().filter((word) => typeof word === 'string');
      expect(said.toSorted()).toEqual([...Array<string>(5).fill('STATE_LOCKED'), 'locked']);
    } finally {
      for (const each of processes) each.kill('SIGKILL');
    }
    // Claims leave nothing behind.
    expect(readdirSync(at('run'))).toEqual(['lock.json']);
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
