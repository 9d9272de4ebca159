import { attestations } from './attestations.ts';
import { computations } from './computations.ts';
import { enclaves, oddAgents } from './enclaves.ts';
import { brokenFolders, stalledLaunch, stalledPreparation, unopened } from './hosts.ts';
import { absentServices, services } from './services.ts';
import { supervision } from './supervision.ts';
import { lateTransfers, transfers } from './transfers.ts';

/** Each is gone in a world of its own, so that some can be under way at once: they wait more than they work. */
const PATHS: Readonly<Record<string, () => Promise<unknown>>> = {
  computations,
  transfers,
  lateTransfers,
  attestations,
  enclaves,
  oddAgents,
  stalledPreparation,
  stalledLaunch,
  brokenFolders,
  unopened,
  services,
  absentServices,
  supervision,
};

const AT_ONCE = 3;

/**
 * The paths of the models, gone by real managers, agents and commands in process mode.
 *
 * @param only names of paths; empty for all.
 * @returns what ended each path that could not be gone to its end.
 */
export async function walkLive(only: readonly string[], note: (line: string) => void): Promise<unknown[]> {
  const failures: unknown[] = [];
  const waiting = Object.entries(PATHS).filter(([name]) => only.length === 0 || only.includes(name));
  const walker = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [name, walk] = next;
      const begin = performance.now();
      await walk().catch((cause: unknown) => {
        failures.push(new Error(`the path ${name} could not be gone`, { cause }));
      });
      note(`${name}: ${((performance.now() - begin) / 1000).toFixed(0)} s`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, walker));
  return failures;
}
