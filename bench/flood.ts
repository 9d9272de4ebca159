import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PORTS } from '../src/link/transport/transport.ts';
import { Flood } from '../test/harness/flood.ts';
import { forgetPeak, peakBytes, residentBytes } from '../test/harness/memory.ts';
import { show } from '../test/harness/system.ts';
import { type Figure, median } from './figure.ts';
import { type Enclave, type Enclaves, MIB, makeFile, startEnclaves } from './transfer/world.ts';

/**
 * Honest uploads, each a whole command, while 64 silent connections and 64 with unfinished messages are held open and
 * opened again whenever they are closed: through the relay, and at the agent's own socket. Beside the same uploads
 * without them. Process mode. `npm run bench -- flood [MiB] [--seconds=N]`
 */
const SIZE_MIB = 64;
const SECONDS = 60;
const CONNECTIONS = 64;
const MESSAGE_BYTES = 15 * 1024;
const REOPEN_MS = 1_000;
const QUIET_UPLOADS = 5;
/** Datasets that a manifest may have. */
const DATASETS = 64;
const TIME_BAR = 2;
const MEMORY_BAR_MIB = 64;

export async function run(args: readonly string[]): Promise<Figure[]> {
  const sizeMiB = Number(args.find((each) => /^\d+$/.test(each)) ?? SIZE_MIB);
  const seconds = Number(
    args.find((each) => each.startsWith('--seconds='))?.slice('--seconds='.length) ?? SECONDS,
  );
  const enclaves = await startEnclaves();
  try {
    const file = enclaves.system.file('big');
    await makeFile(file, sizeMiB * MIB);
    const algorithm = enclaves.system.file('algorithm.py');
    await writeFile(algorithm, 'pass\n');
    const figures: Figure[] = [];
    for (const target of ['relay', 'agent'] as const) {
      figures.push(...(await measure(enclaves, target, { algorithm, file, seconds })));
    }
    return figures;
  } finally {
    await enclaves.system.stop();
  }
}

async function measure(
  enclaves: Enclaves,
  target: 'relay' | 'agent',
  { algorithm, file, seconds }: { algorithm: string; file: string; seconds: number },
): Promise<Figure[]> {
  const { system } = enclaves;
  const names = Array.from({ length: DATASETS }, (_, index) => `d${index}`);
  const datasets = Object.fromEntries(names.map((name) => [name, file]));
  const enclave = await enclaves.create(target, { algorithm, datasets });
  const { address, context } = await show(system, target);
  const pid = Number(context['pid']);
  const relay = String(context['relayAddress']).replace(/^unix:/, '');
  const own = system.file('run', path.basename(address), `${PORTS.participants}.sock`);
  await upload(enclave, names, file);
  const quiet: number[] = [];
  while (quiet.length < QUIET_UPLOADS) quiet.push(await upload(enclave, names, file));
  const before = residentBytes(pid);
  forgetPeak(pid);
  const flood = new Flood(target === 'relay' ? relay : own);
  const flooded: number[] = [];
  const end = performance.now() + seconds * 1000;
  try {
    for (let count = 0; count < CONNECTIONS; count += 1) {
      await flood.keep(() => flood.silent(), REOPEN_MS);
      await flood.keep(() => flood.unfinished(MESSAGE_BYTES), REOPEN_MS);
    }
    while (performance.now() < end && names.length > 0) flooded.push(await upload(enclave, names, file));
    await sleep(Math.max(0, end - performance.now()));
  } finally {
    await flood.close();
  }
  const grownMiB = (peakBytes(pid) - before) / MIB;
  const ratio = median(flooded) / median(quiet);
  const name = `flood of the ${target} for ${seconds} s (${flood.reopened} connections opened again)`;
  await enclave.remove();
  return [
    {
      figure: `${name}: median of ${flooded.length} uploads`,
      ...{ value: median(flooded), unit: 's', baseline: median(quiet), ratio },
      ...{ bar: `<= ${TIME_BAR} times`, ok: ratio <= TIME_BAR },
    },
    {
      figure: `${name}: slowest upload`,
      ...{ value: Math.max(...flooded), unit: 's', baseline: Math.max(...quiet) },
      ...{ ratio: Math.max(...flooded) / Math.max(...quiet), bar: null, ok: true },
    },
    {
      figure: `${name}: memory of the agent grew by`,
      ...{ value: grownMiB, unit: 'MiB', baseline: null, ratio: null },
      ...{ bar: `<= ${MEMORY_BAR_MIB} MiB`, ok: grownMiB <= MEMORY_BAR_MIB },
    },
  ];
}

/** Seconds that the command takes for the next dataset. */
async function upload(enclave: Enclave, names: string[], file: string): Promise<number> {
  const name = names.shift();
  if (name === undefined) throw new Error('the manifest has no dataset left');
  const begin = performance.now();
  await enclave.sendDataset(name, file);
  return (performance.now() - begin) / 1000;
}
