import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { restartManager, type System } from './system.ts';

/** Why the kernel would not leave a core dump of a manager beside its log; null where it would. */
export function coreDumpObstacle(): string | null {
  if (process.getuid?.() !== 0) return 'only root may raise the limit of core dumps';
  const pattern = readFileSync('/proc/sys/kernel/core_pattern', 'utf8').trim();
  return pattern === 'core' ? null : `core dumps go to "${pattern}" here`;
}

/** Lets the kernel dump the manager's core as it does when a process aborts, and starts another. The file. */
export async function dumpCore(system: System): Promise<string> {
  const { pid } = system.manager;
  execFileSync('prlimit', ['--pid', String(pid), '--core=unlimited:unlimited']);
  await restartManager(system, () => undefined, 'SIGABRT');
  const file = [`core.${pid}`, 'core'].map((name) => system.file(name)).find(existsSync);
  if (file === undefined) throw new Error('the kernel left no core dump');
  return file;
}
