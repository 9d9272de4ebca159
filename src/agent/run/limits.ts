import { access } from 'node:fs/promises';
import type { RuntimePaths } from './kinds/kind.ts';

/** Chooses the mechanism that enforces each limit of a run, and reports the limits that nothing enforces. */

export interface RunLimits {
  /** Wall clock. */
  readonly seconds: number;
  readonly memoryMiB: number;
  readonly diskMiB: number;
  /** Processes and threads. */
  readonly processes: number;
}

/** Processes of the sandbox that count as the algorithm's: two of bubblewrap, and the launcher. */
export const SANDBOX_PROCESSES = 4;

const MIB = 1024 * 1024;
const PRLIMIT = '/usr/bin/prlimit';

export interface LimitPlan {
  /** Command prefix that sets resource limits (setrlimit), or empty. */
  readonly launcher: readonly string[];
  readonly enforced: readonly string[];
  readonly notEnforced: readonly string[];
}

/**
 * Plans the limits. A control group limits memory and processes of the whole run. Without one, resource limits apply
 * to the memory of each process and to the processes of the sandbox's user. Without `prlimit`, nothing enforces them,
 * and the plan says so.
 * @param groupReason why there is no control group, or undefined if there is one
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
  // The kernel stops a single file at the limit; the sum of all files is checked periodically.
  const resources = [`--fsize=${limits.diskMiB * MIB}`, '--core=0'];
  if (groupReason === undefined) {
    enforced.push('memory', 'processes');
  } else if (hasPrlimit) {
    resources.push(`--data=${(limits.memoryMiB + overhead.memoryMiB) * MIB}`);
    resources.push(`--nproc=${limits.processes + overhead.processes + SANDBOX_PROCESSES}`);
    enforced.push('memory of each process', 'processes');
    notEnforced.push(`memory of all processes together: ${groupReason}`);
  } else {
    notEnforced.push(`memory and processes: ${groupReason}, and '${prlimit}' is missing`);
  }
  return { launcher: hasPrlimit ? [prlimit, ...resources, '--'] : [], enforced, notEnforced };
}
