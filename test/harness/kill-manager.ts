import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { z } from 'zod';
import { type CliResult, makeParties, type Parties, restartManager, type System } from './system.ts';

/** The main job under a manager that is killed again and again, at moments that a seed decides. */

const ALGORITHM = `
import os, time
time.sleep(1)
with open(os.path.join(os.environ["COCOS_RESULTS"], "out"), "w") as f:
    f.write(open(os.path.join(os.environ["COCOS_DATASETS"], "one")).read() * 2)
`;

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
/** Failures that a client meets while the manager is away, or an enclave is being taken over. */
const PASSING = new Set([69, 75]);
const ATTEMPTS = 200;

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
  const random = seeded(seed);
  const parties = await makeParties(system, { algorithm: ALGORITHM, datasets: { one: 'twice ' }, reference });
  let done = 0;
  let jobs = 0;
  while (done < kills) {
    jobs += 1;
    const over = new AbortController();
    const killer = (async () => {
      while (!over.signal.aborted && done < kills) {
        await new Promise((resolve) => setTimeout(resolve, 100 + random() * 1_200));
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
  const cli = (...args: string[]) => insist(system, args);
  // Created once, although the answer may be lost with the manager.
  await cli('enclave', 'create', name, '--no-wait', '--manifest', parties.manifest).catch((error: Error) => {
    if (!error.message.includes('ENCLAVE_EXISTS')) throw error;
  });
  const seen = { state: -1, pid: 0 };
  await until(system, name, seen, (enclave) => enclave === 'alive.ready');
  const provider = parties.trust('provider');
  const uploads = [
    ['algo', name, system.file('algorithm')],
    ['data', name, 'one', system.file('one')],
  ];
  for (const upload of uploads) {
    await cli(...upload, ...provider).catch((error: Error) => {
      // Taken in already, by an attempt whose answer was lost.
      if (!error.message.includes('INPUT_NOT_EXPECTED')) throw error;
    });
    await until(system, name, seen, () => true);
  }
  const consumer = parties.trust('consumer');
  await cli('run', name, ...consumer);
  await until(system, name, seen, () => true);
  const [sealed, opened] = [system.file(`${name}.cocos`), system.file(`${name}-opened`)];
  await cli('result', 'get', name, '--out', sealed, ...consumer).catch((error: Error) => {
    // Written whole, by an attempt that could not say so to the agent.
    if (!error.message.includes('FILE_EXISTS')) throw error;
  });
  await cli('result', 'open', sealed, '--key', system.file('consumer.key'), '--out', opened);
  if (readFileSync(`${opened}/out`, 'utf8') !== 'twice twice ') throw new Error('the result is wrong');
  await cli('enclave', 'remove', name).catch((error: Error) => {
    if (!error.message.includes('ENCLAVE_NOT_FOUND')) throw error;
  });
  await rm(sealed, { force: true });
}

/** Runs a command again while it fails for reasons that pass. */
export async function insist(system: System, args: readonly string[]): Promise<CliResult> {
  let last: CliResult | null = null;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    last = await system.cli(...args);
    if (last.code === 0) return last;
    if (!PASSING.has(last.code)) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${args.join(' ')} ended with ${last?.code}: ${last?.stderr}`);
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

/** mulberry32: small, and the same everywhere. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
