import { readFile, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { Entry } from '../../examples/service/journal.ts';
import { ReferenceService } from '../../examples/service/reference-service.ts';
import { parseAddress } from '../../src/rpc/address.ts';
import { Seeded } from '../seeded.ts';
import { CARRIED_DATASETS, carry, doubling } from './carry.ts';
import { makeParties, type Parties, PROCESS_REFERENCE, restartManager, type System } from './system.ts';
import { until } from './until.ts';

/**
 * Computations that a management service defines, carried to their end while the service and the manager are
 * restarted at moments that a seed decides.
 */

const NO_TLS = { certificate: undefined, key: undefined, authority: undefined };
const wait = (what: string, check: () => Promise<boolean>) =>
  until(what, check, { limitMs: 600_000, everyMs: 100 });

type EventEntry = Extract<Entry, { kind: 'event' }>;

export interface ServedReport {
  readonly computations: number;
  readonly events: number;
  readonly restarts: { readonly service: number; readonly manager: number };
}

/** A reference service that can be restarted at its address, with what it has taken in. */
export class RestartableService {
  readonly file: string;
  private service: ReferenceService;
  private restarted: Promise<void> = Promise.resolve();

  private constructor(file: string, service: ReferenceService) {
    this.file = file;
    this.service = service;
  }

  static async open(file: string): Promise<RestartableService> {
    return new RestartableService(file, await listen(file, 'tcp:127.0.0.1:0'));
  }

  get address(): string {
    return this.service.address;
  }

  get current(): ReferenceService {
    return this.service;
  }

  restart(): Promise<void> {
    this.restarted = this.reopen();
    return this.restarted;
  }

  /** Resolves with a service that is open. */
  async opened(): Promise<ReferenceService> {
    await this.restarted;
    return this.service;
  }

  private async reopen(): Promise<void> {
    const { address } = this.service;
    await this.service.close();
    this.service = await listen(this.file, address);
  }

  async events(): Promise<EventEntry[]> {
    // The last line may be half written.
    const lines = (await readFile(this.file, 'utf8')).split('\n').slice(0, -1);
    const entries = lines.map((line) => Entry.parse(JSON.parse(line)));
    return entries.filter((entry): entry is EventEntry => entry.kind === 'event');
  }
}

function listen(file: string, address: string): Promise<ReferenceService> {
  return ReferenceService.open({ address: parseAddress(address), tls: NO_TLS, file, serviceId: 'reference' });
}

/** Throws at the first thing that is not as it should be. */
export async function serveComputations(
  system: System,
  service: RestartableService,
  count: number,
  seed: number,
  report: (line: string) => void = () => undefined,
): Promise<ServedReport> {
  const random = new Seeded(seed);
  const parties = await makeParties(system, {
    algorithm: doubling(0),
    datasets: CARRIED_DATASETS,
    reference: PROCESS_REFERENCE,
  });
  const restarts = { service: 0, manager: 0 };
  const over = new AbortController();
  const restarter = (async () => {
    while (!over.signal.aborted) {
      await new Promise((resolve) => setTimeout(resolve, 500 + random.next() * 2_500));
      if (over.signal.aborted) return;
      if (random.next() < 0.5) {
        await service.restart();
        restarts.service += 1;
      } else {
        await restartManager(system);
        restarts.manager += 1;
      }
    }
  })();
  try {
    const queue = Array.from({ length: count }, (_, index) => `served-${index + 1}`);
    const work = async () => {
      for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
        await serve(system, service, parties, id);
        report(
          `${id}: ended, after ${restarts.service} restarts of the service, ${restarts.manager} of the manager`,
        );
      }
    };
    await Promise.all([work(), work()]);
  } finally {
    over.abort();
    await restarter;
  }
  const ids = Array.from({ length: count }, (_, index) => `served-${index + 1}`);
  await wait('every enclave to have stopped', async () => {
    const stopped = (await service.events()).filter(({ toState }) => toState === 'stopped.settled');
    return stopped.length >= count;
  });
  const events = await service.events();
  for (const id of ids)
    judge(
      id,
      events.filter(({ computationId }) => computationId === id),
    );
  return { computations: count, events: events.length, restarts };
}

async function serve(
  system: System,
  service: RestartableService,
  parties: Parties,
  id: string,
): Promise<void> {
  const manifest = { ...z.looseObject({}).parse(JSON.parse(await readFile(parties.manifest, 'utf8'))), id };
  const file = system.file(`${id}.json`);
  await writeFile(file, JSON.stringify(manifest));
  await (await service.opened()).define(manifest);
  await wait(`${id} to be answered`, async () => service.current.computations.get(id)?.isAnswered === true);
  const { enclaveId, refusal } = service.current.computations.get(id) ?? {};
  if (typeof enclaveId !== 'string') throw new Error(`${id} was refused: ${refusal}`);
  await wait(`${id} to be ready`, async () =>
    (await service.events()).some((each) => each.computationId === id && each.toState === 'alive.ready'),
  );
  const trust = (party: string) =>
    parties.trust(party).map((word) => (word === parties.manifest ? file : word));
  await carry(system, enclaveId, trust);
  await wait(`${id} to have ended`, async () =>
    (await service.events()).some((each) => each.computationId === id && each.toState === 'delivered'),
  );
  await (await service.opened()).stop(id);
}

/** Numbered without gap or repetition; each actor's steps join; the computation ended once. */
function judge(id: string, events: readonly EventEntry[]): void {
  const at = new Map<string, string>();
  events.forEach(({ sequence, address, fromState, toState }, index) => {
    if (sequence !== index + 1) throw new Error(`${id}: event ${sequence} came as number ${index + 1}`);
    const before = at.get(address) ?? '';
    if (fromState !== before) {
      throw new Error(`${id}: ${address} went from ${fromState} although it was in ${before}`);
    }
    at.set(address, toState);
  });
  const ends = events.filter(
    ({ fromState, toState }) => toState === 'delivered' && fromState !== 'delivered',
  );
  if (ends.length !== 1) throw new Error(`${id} ended ${ends.length} times`);
}
