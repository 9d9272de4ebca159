import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { appendFile, open, readFile } from 'node:fs/promises';
import net from 'node:net';
import { restartManager, spawnManager, stopProcess } from '../../harness/system.ts';
import { TRACE_FILE } from '../trace.ts';
import { inWorld, World } from '../world.ts';

/** Hosts whose disks stall, and whose folders are not what they were. */

/** Nothing more comes of a pipe that a program reads from: it sees the end of the file. */
async function endPipe(file: string, text = ''): Promise<void> {
  const pipe = await open(file, 'r+');
  await pipe.write(text);
  await pipe.close();
}

function makePipe(file: string): void {
  rmSync(file, { force: true });
  execFileSync('mkfifo', [file]);
}

/** The disk with the agent's program does not answer, so that enclaves are not prepared. */
export async function stalledPreparation(): Promise<void> {
  const agent = `/tmp/cocos-stalled-${process.pid}`;
  makePipe(agent);
  try {
    await inWorld({ COCOSAI_AGENT: agent, COCOSAI_PREPARE_SECONDS: '3' }, async (world) => {
      const late = await world.create('late', null);
      const stopped = await world.create('stopped', null);
      await world.stop(stopped);
      await world.reaches(stopped, /^stopped\.settled$/);
      await world.reaches(late, /^failed\.settled$/);
      await endPipe(agent);
    });
  } finally {
    rmSync(agent, { force: true });
  }
}

/** The disk with the platform's key does not answer, so that guests are started and not heard of. */
export function stalledLaunch(): Promise<unknown> {
  const settings = { COCOSAI_BOOT_SECONDS: '3', COCOSAI_STOP_SECONDS: '4' };
  return inWorld(settings, async (world) => {
    const key = world.system.file('state', 'emulated-root.json');
    makePipe(key);
    const late = await world.create('late', null);
    await world.reaches(late, /^failed\.settled$/);
    const stopping = async (name: string) => {
      const address = await world.create(name, null);
      await world.reaches(address, /^alive\.launching$/);
      await world.stop(address);
      return address;
    };
    const first = await stopping('first');
    await world.reaches(first, /^stopped\.settled$/);
    // What comes at last is none.
    const second = await stopping('second');
    await endPipe(key, 'no key');
    await world.reaches(second, /^stopped\.settled$/);
    rmSync(key, { force: true });
  });
}

/** Folders that enclaves are to be removed from are gone; so is the place of the control socket. */
export async function brokenFolders(): Promise<void> {
  const world = await World.open({ COCOSAI_MODE: 'process' });
  const { system } = world;
  try {
    const socket = system.file('run', 'manager.sock');
    rmSync(socket);
    mkdirSync(socket);
    await restartManager(system, () => rmSync(socket, { recursive: true }), 'SIGTERM');
    await world.reaches('manager', /^serving$/);
    const killed = await world.ready('killed');
    await world.ready('kept');
    renameSync(system.file('state', 'enclaves'), system.file('state', 'elsewhere'));
    writeFileSync(system.file('state', 'enclaves'), 'no folder');
    await world.signal(killed, 'SIGKILL');
    await world.reaches(killed, /^failed\.settled$/);
    const code = await stopProcess(system.manager);
    if (code === 0 || code === null)
      throw new Error(`a manager that could not empty itself ended with ${code}`);
  } finally {
    await world.close();
  }
}

/** Managers that do not come to serve: the address is taken, or they are stopped before. */
export async function unopened(): Promise<void> {
  const world = await World.open({ COCOSAI_MODE: 'process' });
  const { system } = world;
  try {
    const taken = net.createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const address = taken.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const own = {
      ...system.environment,
      COCOSAI_STATE_DIR: system.file('state-2'),
      COCOSAI_RUN_DIR: system.file('run-2'),
      COCOSAI_LISTEN: `tcp:127.0.0.1:${port}`,
    };
    const refused = spawnManager(own, system.file('refused.log'));
    await once(refused, 'exit');
    taken.close();
    const socket = `unix:${system.file('run-2', 'manager.sock')}`;
    const other = { ...own, COCOSAI_LISTEN: socket };
    await stoppedWhileStarting(other, system.file('pipe'), system.file('stopped.log'));
  } finally {
    await world.close();
  }
}

/** Its trace is a pipe that nobody reads yet, so that it waits at its first step until it was asked to stop. */
async function stoppedWhileStarting(own: NodeJS.ProcessEnv, pipe: string, log: string): Promise<void> {
  makePipe(pipe);
  const manager = spawnManager({ ...own, COCOSAI_TRACE: pipe }, log);
  // What a process waits for in the kernel; it heeds signals before its first step.
  const waitsFor = () => readFileSync(`/proc/${manager.pid}/wchan`, 'utf8');
  while (waitsFor() !== 'wait_for_partner') await new Promise((resolve) => setTimeout(resolve, 50));
  manager.kill('SIGTERM');
  const ended = once(manager, 'exit');
  // Each line opens the pipe anew, and waits for its reader.
  const lines: string[] = [];
  while (manager.exitCode === null && manager.signalCode === null) {
    const part = await Promise.race([readFile(pipe, 'utf8'), ended.then(() => '')]);
    lines.push(part);
  }
  await endPipe(pipe);
  await appendFile(TRACE_FILE, lines.join(''));
}
