import { type ChildProcess, spawn } from 'node:child_process';
import { access, chmod, chown, constants, stat } from 'node:fs/promises';
import { constants as osConstants } from 'node:os';
import { dirname, resolve } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { CocosError } from '../../errors.ts';
import type { RunLimit } from '../../machines/public-cause.ts';
import { bwrapArguments, FD, SANDBOX_UID } from './bwrap-arguments.ts';
import { createRunGroup, type RunGroup } from './cgroup.ts';
import { prepareCommand, type RunKind } from './command.ts';
import { DiskUsage } from './disk-usage.ts';
import type { RunCommand, RuntimePaths } from './kinds/kind.ts';
import { planLimits, type RunLimits, SANDBOX_PROCESSES } from './limits.ts';
import { LogLines, type LogStream } from './log-lines.ts';
import { seccompFilter } from './seccomp.ts';

/** Runs an algorithm in a sandbox (design section 9): bubblewrap, seccomp, limits, bounded logs. */

const BWRAP = '/usr/bin/bwrap';
const DISK_POLL_MS = 250;
const MIB = 1024 * 1024;
/** Maximum length of bubblewrap's status output, in characters. */
const MAX_STATUS = 16 * 1024;
const DATASET_NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;

export interface RunRequest {
  readonly kind: RunKind;
  /** A file used by this run only; it is made readable and, for a binary, executable. */
  readonly algorithmPath: string;
  /** Files and folders by dataset name; used by this run only. A file is made readable, what is in a folder must be. */
  readonly datasets: ReadonlyMap<string, string>;
  /** Empty folder that becomes /cocos/results; the sandbox's user owns it if the agent is root. */
  readonly resultsDir: string;
  /** Whether only this run writes to the file system of that folder meanwhile. */
  readonly ownsFileSystem: boolean;
  readonly arguments: readonly string[];
  readonly limits: RunLimits;
  readonly onLog: (stream: LogStream, line: string) => void;
  /** Aborts the run. */
  readonly signal: AbortSignal;
  readonly runtimePaths?: RuntimePaths;
}

export interface RunOutcome {
  /** Null if a limit ended the sandbox. */
  readonly exitCode: number | null;
  /** The signal that ended the run, also if reported as an exit code above 128. */
  readonly signal: string | null;
  /** The limit that the run exceeded. */
  readonly limit?: RunLimit;
  /** Name and version of the runtime, for the receipt. */
  readonly runtime: string;
  readonly enforced: readonly string[];
  /** The limits that this machine cannot enforce, and why. */
  readonly notEnforced: readonly string[];
}

/**
 * Runs an algorithm until it ends. A failing algorithm is an outcome, not an error. If the agent is root, the sandbox
 * runs as user 65534 of the machine, so every folder above the given paths must be searchable by it (mode 0710 with that group, or 0711).
 * @throws CocosError SANDBOX_UNAVAILABLE if bubblewrap or an interpreter is missing or the sandbox cannot be set up;
 * ALGORITHM_INVALID if the file cannot be started in its kind; ARCHIVE_UNSAFE for a bad Python archive; INPUT_INVALID
 * for a dataset name that is a path; CANCELLED if the signal aborted the run
 */
export async function runAlgorithm(request: RunRequest): Promise<RunOutcome> {
  const { limits, runtimePaths = {} } = request;
  if (request.signal.aborted) throw cancelled();
  const bwrap = runtimePaths.bwrap ?? BWRAP;
  await access(bwrap, constants.X_OK).catch((cause: unknown) => {
    throw new CocosError(
      'SANDBOX_UNAVAILABLE',
      `bubblewrap was not found at '${bwrap}'; install the package 'bubblewrap'.`,
      { cause },
    );
  });
  const filter = seccompFilter();
  const { kind, algorithmPath } = request;
  const command = await prepareCommand(kind, algorithmPath, request.arguments, limits, runtimePaths);
  try {
    await openToSandbox(request, command);
    const created = await createRunGroup({
      memoryBytes: (limits.memoryMiB + command.overhead.memoryMiB) * MIB,
      processes: limits.processes + command.overhead.processes + SANDBOX_PROCESSES,
    });
    const group = 'group' in created ? created.group : undefined;
    try {
      const reason = 'reason' in created ? created.reason : undefined;
      const plan = await planLimits(limits, command.overhead, reason, runtimePaths);
      const { resultsDir, ownsFileSystem } = request;
      const disk = await DiskUsage.before(resultsDir, limits.diskMiB * MIB, ownsFileSystem);
      const child = await spawnSandbox(bwrap, request, command, plan.launcher);
      const end = await supervise(child, request, filter, disk, group);
      const { enforced, notEnforced } = plan;
      return {
        ...(await outcomeOf(end, request, disk, group)),
        runtime: command.runtime,
        enforced,
        notEnforced,
      };
    } finally {
      await group?.remove();
    }
  } finally {
    await command.cleanUp();
  }
}

/** Grants the sandbox's user access to the files of this run. */
async function openToSandbox(request: RunRequest, command: RunCommand): Promise<void> {
  const { algorithmPath, datasets, resultsDir } = request;
  for (const name of datasets.keys()) {
    if (!DATASET_NAME.test(name))
      throw new CocosError('INPUT_INVALID', `The dataset name '${name}' must not be a path.`);
  }
  await chmod(algorithmPath, request.kind === 'binary' ? 0o555 : 0o444);
  for (const path of datasets.values()) {
    if ((await stat(path)).isFile()) await chmod(path, 0o444);
  }
  await chmod(resultsDir, 0o700);
  if (process.getuid?.() !== 0) return;
  await chown(resultsDir, SANDBOX_UID, SANDBOX_UID);
  const runtimeFiles = command.runtimeFile === undefined ? [] : [command.runtimeFile];
  for (const path of [algorithmPath, resultsDir, ...datasets.values(), ...runtimeFiles]) {
    for (let folder = dirname(resolve(path)); folder !== '/'; folder = dirname(folder)) {
      const { mode, gid } = await stat(folder);
      if ((mode & (gid === SANDBOX_UID ? 0o010 : 0o001)) === 0) {
        throw new CocosError(
          'SANDBOX_UNAVAILABLE',
          `The sandbox's user cannot enter '${folder}'; set its group to ${SANDBOX_UID} and its mode to 0710.`,
        );
      }
    }
  }
}

async function spawnSandbox(
  bwrap: string,
  request: RunRequest,
  command: RunCommand,
  launcher: readonly string[],
): Promise<ChildProcess> {
  const args = await bwrapArguments({
    algorithm: command.algorithm,
    runtimeFile: command.runtimeFile,
    datasets: request.datasets,
    resultsDir: request.resultsDir,
    scratchBytes: Math.min(request.limits.diskMiB, request.limits.memoryMiB) * MIB,
  });
  const identity = process.getuid?.() === 0 ? { uid: SANDBOX_UID, gid: SANDBOX_UID } : {};
  return spawn(bwrap, [...args, ...launcher, ...command.argv], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe', 'pipe'],
    env: {},
    cwd: '/',
    ...identity,
  });
}

interface RunEnd {
  /** Why the agent ended the run, if it did. */
  readonly stopped?: 'time' | 'disk' | 'cancelled' | 'failed';
  readonly cause?: unknown;
  /** From bubblewrap's status output; missing if the program did not start. */
  readonly exitCode?: number;
  /** Whether bubblewrap had a process that it could set up and start the program in. */
  readonly wasReleased: boolean;
}

/** Supervises a sandbox until all its processes have ended. */
function supervise(
  child: ChildProcess,
  request: RunRequest,
  filter: Uint8Array,
  disk: DiskUsage,
  group: RunGroup | undefined,
): Promise<RunEnd> {
  return new Promise((resolveEnd) => {
    const logs = new LogLines(request.onLog);
    let stopped: Pick<RunEnd, 'stopped' | 'cause'> = {};
    let status = '';
    let released = false;
    // Process 1 of the sandbox dies with bubblewrap, and the kernel then kills its whole pid namespace.
    const stop = (why: NonNullable<RunEnd['stopped']>, cause?: unknown) => {
      if (stopped.stopped === undefined) stopped = { stopped: why, cause };
      child.kill('SIGKILL');
    };
    const release = async (pid: number) => {
      await group?.add(pid);
      writableOf(child, FD.block).end('x');
    };
    const onAbort = () => stop('cancelled');
    request.signal.addEventListener('abort', onAbort, { once: true });
    if (request.signal.aborted) onAbort();
    const timer = setTimeout(() => stop('time'), request.limits.seconds * 1000);
    const stopWatch = watchDisk(disk, () => stop('disk'));
    child.on('error', (cause) => stop('failed', cause));
    for (const fd of [FD.block, FD.seccomp]) writableOf(child, fd).on('error', () => undefined);
    writableOf(child, FD.seccomp).end(filter);
    readableOf(child, FD.status).on('data', (chunk: Buffer) => {
      status = (status + chunk.toString('latin1')).slice(0, MAX_STATUS);
      const pid = /"child-pid": (\d+)/.exec(status)?.[1];
      if (pid === undefined || released) return;
      released = true;
      release(Number(pid)).catch((cause: unknown) => stop('failed', cause));
    });
    child.stdout?.on('data', (chunk: Buffer) => logs.write('stdout', chunk));
    child.stderr?.on('data', (chunk: Buffer) => logs.write('stderr', chunk));
    child.on('close', () => {
      clearTimeout(timer);
      stopWatch();
      request.signal.removeEventListener('abort', onAbort);
      logs.end();
      const code = /"exit-code": (\d+)/.exec(status)?.[1];
      resolveEnd({
        ...stopped,
        wasReleased: released,
        ...(code === undefined ? {} : { exitCode: Number(code) }),
      });
    });
  });
}

/** Checks what the run takes of the disk periodically; returns a function that stops the checks. */
function watchDisk(disk: DiskUsage, onExceeded: () => void): () => void {
  let looking = false;
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    void disk.isExceeded().then((exceeded) => {
      looking = false;
      if (exceeded) onExceeded();
    });
  }, DISK_POLL_MS);
  return () => clearInterval(timer);
}

async function outcomeOf(
  end: RunEnd,
  request: RunRequest,
  disk: DiskUsage,
  group: RunGroup | undefined,
): Promise<Pick<RunOutcome, 'exitCode' | 'signal' | 'limit'>> {
  if (end.stopped === 'cancelled') throw cancelled();
  if (end.stopped === 'failed') {
    throw new CocosError('SANDBOX_UNAVAILABLE', 'bubblewrap could not be started.', { cause: end.cause });
  }
  if (end.stopped !== undefined) return { exitCode: null, signal: 'SIGKILL', limit: end.stopped };
  const hit = await group?.hit();
  if (hit === 'memory') return { exitCode: end.exitCode ?? null, signal: 'SIGKILL', limit: hit };
  if (end.exitCode === undefined) {
    // bubblewrap states an exit status only of a program that it started. What it printed is in the log.
    if (end.wasReleased && request.kind === 'binary') {
      throw new CocosError(
        'ALGORITHM_INVALID',
        'The algorithm cannot be executed; check that it is a complete program for the enclave.',
      );
    }
    throw new CocosError(
      'SANDBOX_UNAVAILABLE',
      'bubblewrap could not set up the sandbox or start the program in it; its message is in the log.',
    );
  }
  const base = { exitCode: end.exitCode, signal: signalName(end.exitCode) };
  if (await disk.isExceeded()) return { ...base, limit: 'disk' };
  if (base.signal === 'SIGXFSZ') return { ...base, limit: 'disk' };
  return end.exitCode !== 0 && hit !== undefined ? { ...base, limit: hit } : base;
}

/** Name of the signal encoded in an exit code above 128. */
function signalName(exitCode: number): string | null {
  const names = Object.entries(osConstants.signals);
  return names.find(([, number]) => number === exitCode - 128)?.[0] ?? null;
}

function cancelled(): CocosError {
  return new CocosError('CANCELLED', 'The run was aborted on request.');
}

function writableOf(child: ChildProcess, fd: number): Writable {
  const stream = child.stdio[fd];
  if (stream === null || stream === undefined || !('write' in stream)) throw noPipe(fd);
  return stream;
}

function readableOf(child: ChildProcess, fd: number): Readable {
  const stream = child.stdio[fd];
  if (stream === null || stream === undefined || !('read' in stream)) throw noPipe(fd);
  return stream;
}

function noPipe(fd: number): CocosError {
  return new CocosError('INTERNAL', `Descriptor ${fd} of the sandbox is not a pipe.`);
}
