import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** Limits on memory and processes of a whole run, enforced by a dedicated control group (cgroup v2). */

export const CGROUP_ROOT = '/sys/fs/cgroup';
/** Parent group of the runs. The agent itself lives in another child of the root. */
const PARENT = 'cocos';
const REMOVE_ATTEMPTS = 40;
const REMOVE_PAUSE_MS = 50;

export interface GroupLimits {
  readonly memoryBytes: number;
  readonly processes: number;
}

/** The control group of one run. */
export interface RunGroup {
  /** Applies the limits to a process and all its future children. */
  add(pid: number): Promise<void>;
  /** The limit that the run exceeded, if any. */
  hit(): Promise<'memory' | 'processes' | undefined>;
  /** Kills the remaining processes of the group and removes it. */
  remove(): Promise<void>;
}

/**
 * Creates a group with these limits, or returns why it could not: no cgroup v2, a missing controller, or no write
 * access.
 */
export async function createRunGroup(
  limits: GroupLimits,
  root: string = CGROUP_ROOT,
): Promise<{ group: RunGroup } | { reason: string }> {
  const controllers = await readFile(join(root, 'cgroup.controllers'), 'utf8').catch(() => undefined);
  if (controllers === undefined) return { reason: `there is no cgroup v2 at ${root}` };
  for (const needed of ['memory', 'pids']) {
    if (!controllers.split(/\s+/).includes(needed))
      return { reason: `cgroup v2 lacks the ${needed} controller` };
  }
  const parent = join(root, PARENT);
  const path = join(parent, `run-${randomUUID()}`);
  try {
    await mkdir(parent, { recursive: true });
    for (const folder of [root, parent])
      await writeFile(join(folder, 'cgroup.subtree_control'), '+memory +pids');
    await mkdir(path);
  } catch (error) {
    return { reason: `cgroup v2 is not writable: ${reasonOf(error)}` };
  }
  try {
    await writeFile(join(path, 'memory.max'), String(limits.memoryBytes));
    await writeFile(join(path, 'pids.max'), String(limits.processes));
    // Without swap accounting this file does not exist, and there is no swap to limit.
    await writeFile(join(path, 'memory.swap.max'), '0').catch(() => undefined);
    // Out of memory kills the whole run, not one process that the others wait for.
    await writeFile(join(path, 'memory.oom.group'), '1');
  } catch (error) {
    await removeGroup(path);
    return { reason: `cgroup v2 refuses the limits: ${reasonOf(error)}` };
  }
  return {
    group: {
      add: (pid) => writeFile(join(path, 'cgroup.procs'), String(pid)),
      hit: async () => {
        if ((await eventCount(path, 'memory.events', 'oom_kill')) > 0) return 'memory';
        if ((await eventCount(path, 'pids.events', 'max')) > 0) return 'processes';
        return undefined;
      },
      remove: () => removeGroup(path),
    },
  };
}

async function eventCount(path: string, file: string, event: string): Promise<number> {
  const text = await readFile(join(path, file), 'utf8').catch(() => '');
  const match = new RegExp(`^${event} (\\d+)$`, 'm').exec(text);
  return Number(match?.[1] ?? 0);
}

/** The kernel needs a moment after the kill to reap the processes; only then can the group be removed. */
async function removeGroup(path: string): Promise<void> {
  await writeFile(join(path, 'cgroup.kill'), '1').catch(() => undefined);
  for (let attempt = 0; attempt < REMOVE_ATTEMPTS; attempt += 1) {
    const removed = await rmdir(path).then(
      () => true,
      (error: unknown) => error instanceof Error && 'code' in error && error.code === 'ENOENT',
    );
    if (removed) return;
    await delay(REMOVE_PAUSE_MS);
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
