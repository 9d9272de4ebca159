import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Guest } from '../../../src/manager/guests/guest.ts';
import {
  attachProcessGuest,
  endOrphanProcess,
  launchProcessGuest,
} from '../../../src/manager/guests/process-guest.ts';
import { type HostProcess, startHostProcess } from '../../../src/manager/guests/vm/host-process.ts';

const OTHER_USER = 12_345;
const isRoot = process.getuid?.() === 0;

let folder: string;
let guests: Guest[];
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'cocosai-guest-'));
  // As /dev/shm: others may enter it.
  chmodSync(folder, 0o755);
  writeFileSync(path.join(folder, 'agent.mjs'), 'setInterval(() => undefined, 1000);');
  guests = [];
});
afterEach(async () => {
  for (const guest of guests) await guest.kill();
  rmSync(folder, { recursive: true, force: true });
});

const workDir = () => path.join(folder, 'work');
async function launch(): Promise<Guest> {
  const guest = await launchProcessGuest({
    program: path.join(folder, 'agent.mjs'),
    socketDir: path.join(folder, 'e1/ports'),
    workDir: workDir(),
    logFile: path.join(folder, 'agent.log'),
    settings: {},
  });
  guests.push(guest);
  return guest;
}

describe('the work folder of an agent in process mode', () => {
  it('other users have no access to it', async () => {
    await launch();
    expect(statSync(workDir()).mode & 0o007).toBe(0);
    expect(statSync(workDir()).mode & 0o070).toBe(isRoot ? 0o010 : 0);
  });

  it.runIf(isRoot)('another local user reads no dataset in it, whatever the mode of the file', async () => {
    await launch();
    const file = path.join(workDir(), 'dataset');
    writeFileSync(file, 'secret', { mode: 0o444 });
    const { status, stdout } = spawnSync('/bin/cat', [file], {
      ...{ uid: OTHER_USER, gid: OTHER_USER, encoding: 'utf8' },
    });
    expect([status === 0, stdout]).toEqual([false, '']);
  });

  it('nothing that was there before is used', async () => {
    mkdirSync(workDir(), { mode: 0o777 });
    writeFileSync(path.join(workDir(), 'planted'), '');
    await launch();
    expect(existsSync(path.join(workDir(), 'planted'))).toBe(false);
  });
});

describe('a record in the run folder', () => {
  let other: HostProcess;
  const precious = () => path.join(folder, 'precious');
  const socketDir = () => path.join(folder, 'e1/ports');
  const files = () => ({ socketDir: socketDir(), workDir: workDir() });
  beforeEach(async () => {
    mkdirSync(socketDir(), { recursive: true });
    mkdirSync(precious());
    writeFileSync(path.join(precious(), 'file'), '');
  });
  afterEach(() => other.end());
  const plant = async (environment: NodeJS.ProcessEnv) => {
    other = await startHostProcess('sleep', ['600'], path.join(folder, 'log'), environment);
    const record = { agent: other.identity, workDir: precious() };
    writeFileSync(path.join(socketDir(), 'process.json'), JSON.stringify(record));
  };
  const isRunning = () => existsSync(`/proc/${other.identity.pid}`);

  it('a process that it names is not adopted or ended unless it serves this enclave', async () => {
    await plant({ COCOS_SOCKETS: path.join(folder, 'e12/ports') });
    expect(await attachProcessGuest(files())).toBeNull();
    expect(isRunning()).toBe(true);
  });

  it('a folder that it names is not removed', async () => {
    await plant({});
    await endOrphanProcess(files());
    expect(existsSync(path.join(precious(), 'file'))).toBe(true);
  });

  it('the agent of this enclave is adopted, and its own work folder is removed with it', async () => {
    await plant({ COCOS_SOCKETS: socketDir() });
    mkdirSync(workDir());
    const guest = await attachProcessGuest(files());
    expect(guest?.pid).toBe(other.identity.pid);
    await guest?.kill();
    expect([existsSync(workDir()), existsSync(precious())]).toEqual([false, true]);
  });

  it.runIf(isRoot)('a process of another user is not adopted', async () => {
    await plant({ COCOS_SOCKETS: socketDir() });
    await other.end();
    const child = spawn('sleep', ['600'], {
      ...{ uid: OTHER_USER, gid: OTHER_USER, env: { COCOS_SOCKETS: socketDir() } },
    });
    await once(child, 'spawn');
    const stat = readFileSync(`/proc/${child.pid}/stat`, 'latin1');
    const startTicks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    const record = { agent: { pid: child.pid, startTicks }, workDir: workDir() };
    writeFileSync(path.join(socketDir(), 'process.json'), JSON.stringify(record));
    expect(await attachProcessGuest(files())).toBeNull();
    child.kill();
  });
});
