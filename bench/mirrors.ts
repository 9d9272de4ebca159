import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import v8 from 'node:v8';
import vm from 'node:vm';
import { Store } from '../src/manager/store/store.ts';
import { type Figure, median } from './figure.ts';
import { Fleet } from './mirrors/fleet.ts';
import { bareMsgpackr, bareXstate } from './mirrors/floor.ts';
import { Stream } from './mirrors/stream.ts';

/**
 * The manager's mirrors of many enclaves: events per second from the bytes of a frame to a watcher, the time that one
 * takes, and the heap that an idle enclave holds. What is stored goes through the code that the manager runs for each
 * of its enclaves. The floor is the interpreter and the decoder alone, in the same run.
 */

const ROUNDS = 5;
const FLOOR_EVENTS = 50_000;
/** Enclaves that begin at once. */
const BATCH = 500;
const PACED_MS = 2_000;
/** Events per second through the real path, against the floor of the same run. */
const RATIO_BAR = 1.2;
const HEAP_BAR = 20 * 1024;

/** Events of one round. */
const FLOOD_EVENTS = 200_000;
/** Events for each millisecond while the time to the watcher is measured. */
const PACE_PER_MS = 20;

interface Measured {
  readonly enclaves: number;
  readonly eventsPerSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly heapBytes: number;
}

/** `mirrors [100 1000 10000]`: the numbers of enclaves. */
export async function run(args: readonly string[]): Promise<Figure[]> {
  const sizes = args.map(Number).filter((size) => Number.isInteger(size) && size > 0);
  const counts = sizes.length === 0 ? [100, 1_000, 10_000] : sizes;
  const floor = bareFloor();
  const inMemory: Measured[] = [];
  for (const count of counts) inMemory.push(await measure(count, null));
  const stored: Measured[] = [];
  for (const count of counts) stored.push(await measureStored(count));
  return [
    ...inMemory.flatMap((measured) => figuresOf(measured, floor, 'in memory')),
    ...stored.flatMap((measured) => figuresOf(measured, floor, 'stored')),
    ...(counts.length > 1 ? [growth(inMemory, 'in memory'), growth(stored, 'stored')] : []),
  ];
}

interface Floor {
  readonly xstate: number;
  readonly msgpackr: number;
  /** Of one after the other. */
  readonly both: number;
}

function bareFloor(): Floor {
  const xstate = median(Array.from({ length: ROUNDS }, () => bareXstate(FLOOR_EVENTS)));
  const msgpackr = median(Array.from({ length: ROUNDS }, () => bareMsgpackr(FLOOR_EVENTS)));
  return { xstate, msgpackr, both: 1 / (1 / xstate + 1 / msgpackr) };
}

async function measure(count: number, store: Store | null): Promise<Measured> {
  const before = heapUsed();
  const fleet = new Fleet(store);
  for (let grown = 0; grown < count; grown += BATCH) {
    fleet.grow(Math.min(BATCH, count - grown));
    await fleet.directory.settled();
  }
  const heapBytes = (heapUsed() - before) / count;
  const stream = new Stream(fleet);
  const speeds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) speeds.push(await stream.flood(FLOOD_EVENTS));
  const latencies = await stream.pace(PACE_PER_MS, PACED_MS);
  return {
    enclaves: count,
    eventsPerSecond: median(speeds),
    p50Us: quantile(latencies, 0.5),
    p99Us: quantile(latencies, 0.99),
    heapBytes,
  };
}

async function measureStored(count: number): Promise<Measured> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'cocosai-bench-'));
  const store = new Store(folder);
  try {
    return await measure(count, store);
  } finally {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function figuresOf(measured: Measured, floor: Floor, how: string): Figure[] {
  const { enclaves, eventsPerSecond, p50Us, p99Us, heapBytes } = measured;
  const name = `mirrors, ${enclaves} enclaves, ${how}:`;
  const judged = (figure: string, value: number, unit: string, bar: string | null, ok: boolean): Figure => ({
    figure: `${name} ${figure}`,
    value,
    unit,
    baseline: null,
    ratio: null,
    bar,
    ok,
  });
  return [
    {
      ...judged(
        'events',
        eventsPerSecond,
        'events/s',
        `>= ${RATIO_BAR} times the floor`,
        eventsPerSecond >= RATIO_BAR * floor.both,
      ),
      baseline: floor.both,
      ratio: eventsPerSecond / floor.both,
    },
    judged('event to watcher, p50', p50Us, 'us', null, true),
    judged('event to watcher, p99', p99Us, 'us', null, true),
    judged('heap of an idle enclave', heapBytes, 'bytes', `<= ${HEAP_BAR} bytes`, heapBytes <= HEAP_BAR),
  ];
}

function growth(all: readonly Measured[], how: string): Figure {
  const [first] = all;
  const last = all.at(-1);
  const ratio = (first?.eventsPerSecond ?? Number.NaN) / (last?.eventsPerSecond ?? Number.NaN);
  return {
    figure: `mirrors, ${how}: cost of an event, ${last?.enclaves} enclaves to ${first?.enclaves}`,
    value: ratio,
    unit: 'times',
    baseline: null,
    ratio: null,
    bar: '<= 1.2',
    ok: ratio <= 1.2,
  };
}

function quantile(values: readonly number[], at: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) * at)] ?? Number.NaN;
}

const collectGarbage = garbageCollector();

function heapUsed(): number {
  collectGarbage();
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

function garbageCollector(): () => void {
  v8.setFlagsFromString('--expose-gc');
  const collect: unknown = vm.runInNewContext('gc');
  if (typeof collect !== 'function') throw new Error('the garbage collector cannot be asked');
  return () => void collect();
}
