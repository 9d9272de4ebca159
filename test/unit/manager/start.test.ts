import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readManagerConfig } from '../../../src/manager/config.ts';
import { Manager } from '../../../src/manager/manager.ts';

interface Entry {
  readonly level: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

let folder: string;
let logged: Entry[];
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'cocosai-start-'));
  logged = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const settings = (own: NodeJS.ProcessEnv) => ({
  ...{ COCOSAI_MODE: 'process', COCOSAI_STATE_DIR: path.join(folder, 'state') },
  ...{ COCOSAI_RUN_DIR: path.join(folder, 'run'), ...own },
});
const open = async (own: NodeJS.ProcessEnv = {}) => {
  const config = { ...readManagerConfig(settings(own), folder), relayProgram: import.meta.filename };
  return Manager.open(config, (level, _message, fields = {}) => logged.push({ level, fields }));
};
const longName = (length: number) => path.join(folder, 'x'.repeat(length - folder.length - 1));

describe('a manager that starts', () => {
  it.each([
    ['COCOSAI_RUN_DIR', 'a run folder', () => ({ COCOSAI_RUN_DIR: longName(108) })],
    [
      'COCOSAI_RUN_DIR',
      'a run folder that leaves no room for sockets',
      () => ({ COCOSAI_RUN_DIR: longName(74) }),
    ],
    ['COCOSAI_LISTEN', 'a socket', () => ({ COCOSAI_LISTEN: `unix:${longName(108)}` })],
    ['COCOSAI_SERVICE', "a service's socket", () => ({ COCOSAI_SERVICE: `unix:${longName(108)}` })],
  ])('%s is refused for %s with too long a path, and nothing is created', async (setting, _what, own) => {
    const opened = open(own()).then((manager) => manager.start());
    await expect(opened).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    await expect(opened).rejects.toThrow(setting);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('a run folder whose path is as long as it may be is used', async () => {
    const manager = await open({ COCOSAI_RUN_DIR: longName(73) });
    await manager.start();
    expect(existsSync(path.join(longName(73), 'manager.sock'))).toBe(true);
    manager.requestStop();
    await manager.ended();
  });

  it.each([
    ['COCOSAI_MAX_ENCLAVE', 'COCOSAI_MAX_ENCLAVES'],
    ['COCOSAI_ON_ORFAN', 'COCOSAI_ON_ORPHAN'],
    ['COCOSAI_SESSION_SECOND', 'COCOSAI_SESSION_SECONDS'],
  ])('the unknown setting %s is logged as a warning with the name nearest to it', async (name, nearest) => {
    const manager = await open({ [name]: '1', COCOSAI_MANAGER: 'unix:/x', OTHER: '1' });
    const warnings = logged.filter(({ level }) => level === 'warning');
    expect(warnings.map(({ fields }) => fields)).toEqual([{ setting: name, nearest }]);
    await manager.start();
    manager.requestStop();
    await manager.ended();
  });

  it('an address that is taken is reported to the caller, who logs it, and not in the log itself', async () => {
    mkdirSync(path.join(folder, 'run'), { mode: 0o700 });
    const holder = net.createServer().listen(path.join(folder, 'run/manager.sock'));
    await once(holder, 'listening');
    const manager = await open();
    await expect(manager.start()).rejects.toMatchObject({ code: 'HOST_PORT_TAKEN' });
    expect(logged.filter(({ fields }) => fields['code'] === 'HOST_PORT_TAKEN')).toEqual([]);
    holder.close();
  });
});
