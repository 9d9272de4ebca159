import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { CocosError } from '../../../errors.ts';
import type { GuestExit } from '../guest.ts';

const POLL_MS = 200;
const TERM_GRACE_MS = 5_000;

/** A process of this host; its start time distinguishes it from a later one with the same number. */
export const ProcessIdentity = z.strictObject({
  pid: z.int().min(2),
  /** Clock ticks since boot, field 22 of /proc/PID/stat (proc(5)). */
  startTicks: z.string().regex(/^[0-9]{1,20}$/),
});
export type ProcessIdentity = z.infer<typeof ProcessIdentity>;

/** A process that serves a guest and that outlives this one. */
export interface HostProcess {
  readonly identity: ProcessIdentity;
  readonly exited: Promise<GuestExit>;
  /** Stops watching the process, which runs on: `exited` never settles afterwards, and `end` may not be called. */
  detach(): void;
  /** Ends it: SIGTERM, and SIGKILL after five seconds. Resolves when it is gone. */
  end(): Promise<void>;
}

/**
 * Starts a program in its own session, so that neither a key stroke nor the end of this process ends
 * it. Its output goes to `logPath`.
 *
 * @throws CocosError VM_LAUNCH_FAILED when it cannot be started
 */
export async function startHostProcess(
  program: string,
  args: readonly string[],
  logPath: string,
  environment?: NodeJS.ProcessEnv,
): Promise<HostProcess> {
  const log = openSync(logPath, 'a', 0o600);
  try {
    const child = spawn(program, args, {
      detached: true,
      stdio: ['ignore', log, log],
      ...(environment === undefined ? {} : { env: environment }),
    });
    // It may outlive this process, which does not wait for it.
    child.unref();
    const watch = new AbortController();
    const exited = new Promise<GuestExit>((resolve) => {
      child.once('exit', (code, signal) => {
        if (!watch.signal.aborted) resolve({ code, signal });
      });
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    const startTicks = child.pid === undefined ? null : startTicksOf(child.pid);
    // A process that is gone already still reports its exit, and its number is never signalled.
    const identity = { pid: child.pid ?? 2, startTicks: startTicks ?? '0' };
    return { identity, exited, detach: () => watch.abort(), end: () => endProcess(identity, exited) };
  } catch (cause) {
    throw new CocosError('VM_LAUNCH_FAILED', `${program} could not be started.`, { cause });
  } finally {
    closeSync(log);
  }
}

/** This process. */
export function ownIdentity(): ProcessIdentity {
  return { pid: process.pid, startTicks: startTicksOf(process.pid) ?? '0' };
}

/**
 * A handle on a process that this or an earlier run of the manager started for an enclave; null when it is gone. The
 * record that names it proves nothing: the process must be of this user and name the enclave's folder.
 */
export function adoptHostProcess(identity: ProcessIdentity, folder: string): HostProcess | null {
  if (!isAlive(identity) || !isOwn(identity.pid) || !namesFolder(identity.pid, folder)) return null;
  // Only the parent learns the exit status: for anyone else the process is simply gone.
  let resolveExited: (exit: GuestExit) => void = () => undefined;
  const exited = new Promise<GuestExit>((resolve) => {
    resolveExited = resolve;
  });
  const timer = setInterval(() => {
    if (isAlive(identity)) return;
    clearInterval(timer);
    resolveExited({ code: null, signal: null });
  }, POLL_MS).unref();
  return {
    identity,
    exited,
    detach: () => clearInterval(timer),
    end: () => endProcess(identity, exited),
  };
}

async function endProcess(identity: ProcessIdentity, exited: Promise<GuestExit>): Promise<void> {
  if (!signalProcess(identity, 'SIGTERM')) return;
  const timer = setTimeout(() => signalProcess(identity, 'SIGKILL'), TERM_GRACE_MS);
  await exited;
  clearTimeout(timer);
}

function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isAlive(identity)) return false;
  try {
    return process.kill(identity.pid, signal);
  } catch {
    return false;
  }
}

/** Whether a process is of the user of this one. */
export function isOwn(pid: number): boolean {
  const [, real, effective] = /^Uid:\t(\d+)\t(\d+)/m.exec(readProc(pid, 'status')) ?? [];
  const own = String(process.getuid?.());
  return real === own && effective === own;
}

/** The arguments and the environment that a process was started with; empty for one of another user. */
export function commandOf(pid: number): string {
  return `${readProc(pid, 'cmdline')}\0${readProc(pid, 'environ')}`;
}

/** Whether a process was started with a path in this folder. */
function namesFolder(pid: number, folder: string): boolean {
  const command = commandOf(pid);
  // In QEMU's lists of options a comma is written twice.
  return [folder, folder.replaceAll(',', ',,')].some((path) =>
    ['/', '\0'].some((end) => command.includes(path + end)),
  );
}

function readProc(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return '';
  }
}

export function isAlive(identity: ProcessIdentity): boolean {
  return startTicksOf(identity.pid) === identity.startTicks;
}

/** Start time of a running process; null for none and for one that has ended and awaits its parent. */
function startTicksOf(pid: number): string | null {
  const stat = readProc(pid, 'stat');
  // The second field is the name in parentheses, which may itself hold spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null);
}
