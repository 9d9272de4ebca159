import { access } from 'node:fs/promises';
import type { RuntimePaths } from './command.ts';

/** Which mechanism holds each limit of a run, and the words for those that nothing holds. */

export interface RunLimits {
  /** Wall clock. */
  readonly seconds: number;
  readonly memoryMiB: number;
  readonly diskMiB: number;
  /** Processes and threads. */
  readonly processes: number;
}

/** Processes of the sandbox itself that count with the algorithm's: bubblewrap's two, and the launcher. */
export const SANDBOX_PROCESSES = 4;

const MIB = 1024 * 1024;
const PRLIMIT = '/usr/bin/prlimit';

export interface LimitPlan {
  /** Words in front of the program that set resource limits (setrlimit), or none. */
  readonly launcher: readonly string[];
  readonly enforced: readonly string[];
  readonly notEnforced: readonly string[];
}

/**
 * Plans the limits. With a control group, memory and processes are held for the run as a whole; without one,
 * resource limits hold memory for each process alone and processes for the sandbox's user; without `prlimit` either,
 * they are not held and this says so.
 * @param groupReason why there is no control group, or undefined when there is one
 */
export async function planLimits(
  limits: RunLimits,
  overhead: { readonly memoryMiB: number; readonly processes: number },
  groupReason: string | undefined,
  paths: RuntimePaths,
): Promise<LimitPlan> {
  const enforced = ['time', 'disk'];
  const notEnforced: string[] = [];
  const prlimit = paths.prlimit ?? PRLIMIT;
  const hasPrlimit = await access(prlimit).then(
    () => true,
    () => false,
  );
  // A single file is stopped at the limit at once; the sum of all is looked at from time to time.
  const resources = [`--fsize=${limits.diskMiB * MIB}`, '--core=0'];
  if (groupReason === undefined) {
    enforced.push('memory', 'processes');
  } else if (hasPrlimit) {
    resources.push(`--data=${(limits.memoryMiB + overhead.memoryMiB) * MIB}`);
    resources.push(`--nproc=${limits.processes + overhead.processes + SANDBOX_PROCESSES}`);
    enforced.push('memory of each process', 'processes');
    notEnforced.push(`memory of all processes together: ${groupReason}`);
  } else {
    notEnforced.push(`memory and processes: ${groupReason}, and there is no ${prlimit}`);
  }
  return { launcher: hasPrlimit ? [prlimit, ...resources, '--'] : [], enforced, notEnforced };
}
