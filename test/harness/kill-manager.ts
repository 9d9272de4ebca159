import { z } from 'zod';
import { Seeded } from '../seeded.ts';
import { ATTEMPTS, CARRIED_DATASETS, carry, doubling, insist, insistUnless } from './carry.ts';
import { makeParties, type Parties, restartManager, type System } from './system.ts';

/** The main job under a manager that is killed again and again, at moments that a seed decides. */

/** States of a computation, in the only order that a client may see them. */
const ORDER = [
  'awaitingManifest',
  'receiving',
  'ready',
  'running',
  'sealingResults',
  'resultsReady',
  'delivered',
];
const Actor = z.looseObject({ state: z.string(), context: z.looseObject({ pid: z.number().nullable() }) });

export interface KillReport {
  readonly jobs: number;
  readonly kills: number;
  readonly seed: number;
}

/** Runs jobs until the manager was killed `kills` times. Throws at the first thing that is not as it should be. */
export async function killManager(
  system: System,
  reference: string,
  kills: number,
  seed: number,
  report: (line: string) => void = () => undefined,
): Promise<KillReport> {
  const random = new Seeded(seed);
  const parties = await makeParties(system, {
    algorithm: doubling(1),
    datasets: CARRIED_DATASETS,
    reference,
  });
  let done = 0;
  let jobs = 0;
  while (done < kills) {
    jobs += 1;
    const over = new AbortController();
    const killer = (async () => {
      while (!over.signal.aborted && done < kills) {
        await new Promise((resolve) => setTimeout(resolve, 100 + random.next() * 1_200));
        if (over.signal.aborted) return;
        await restartManager(system);
        done += 1;
      }
    })();
    try {
      await job(system, parties, `job${jobs}`);
    } finally {
      over.abort();
      await killer;
    }
    report(`job ${jobs}: right, after ${done} kills`);
  }
  return { jobs, kills: done, seed };
}

async function job(system: System, parties: Parties, name: string): Promise<void> {
  const create = ['enclave', 'create', name, '--no-wait', '--manifest', parties.manifest];
  await insistUnless('ENCLAVE_EXISTS', system, create);
  const seen = { state: -1, pid: 0 };
  await until(system, name, seen, (enclave) => enclave === 'alive.ready');
  await carry(system, name, parties.trust, () => until(system, name, seen, () => true));
  await insistUnless('ENCLAVE_NOT_FOUND', system, ['enclave', 'remove', name]);
}

/** Looks at the enclave and its computation until the enclave is where it should be; neither may go back. */
async function until(
  system: System,
  name: string,
  seen: { state: number; pid: number },
  reached: (state: string) => boolean,
): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const [found] = (await insist(system, ['enclave', 'show', name, '-o', 'json'])).json;
    const shown = Actor.extend({
      inside: z.array(z.looseObject({ address: z.string(), state: z.string() })),
    }).parse(found);
    if (shown.state.startsWith('failed'))
      throw new Error(`${name} has failed: ${JSON.stringify(shown.context['cause'])}`);
    const { pid } = shown.context;
    if (pid !== null && seen.pid !== 0 && pid !== seen.pid)
      throw new Error(`${name} has another guest than before`);
    if (pid !== null) seen.pid = pid;
    const computation = shown.inside.find((actor) => actor.address.endsWith('/computation'));
    const state = computation === undefined ? -1 : ORDER.indexOf(computation.state);
    if (state < seen.state)
      throw new Error(`${name} went back from ${ORDER[seen.state]} to ${computation?.state}`);
    seen.state = state;
    if (reached(shown.state)) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${name} did not get where it should`);
}
