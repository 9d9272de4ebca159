import { rm, writeFile } from 'node:fs/promises';
import { type Figure, median } from './figure.ts';
import type { Taken } from './transfer/protocol.ts';
import { MIB, makeFile, randomResult, startEnclaves, startSink, transfer } from './transfer/world.ts';

/**
 * Fetching a sealed result into a file, every segment opened, beside the plainest grpc-js server stream of as many bytes
 * into a file. `npm run bench -- result [MiB...] [--runs=N]`
 */
const SIZES_MIB = [256, 1024];
const RUNS = 5;
const SPEED_BAR = 1.5;
const MEMORY_BAR_MIB = 200;

export async function run(args: readonly string[]): Promise<Figure[]> {
  const sizes = args.filter((each) => /^\d+$/.test(each)).map(Number);
  const runs = Number(args.find((each) => each.startsWith('--runs='))?.slice('--runs='.length) ?? RUNS);
  const enclaves = await startEnclaves();
  const sink = await startSink(false);
  try {
    const figures: Figure[] = [];
    for (const sizeMiB of sizes.length > 0 ? sizes : SIZES_MIB) figures.push(...(await measure(sizeMiB)));
    return figures;
  } finally {
    await sink.stop();
    await enclaves.system.stop();
  }

  async function measure(sizeMiB: number): Promise<Figure[]> {
    const { system } = enclaves;
    const algorithm = system.file('algorithm.py');
    await writeFile(algorithm, randomResult(sizeMiB));
    const dataset = system.file('small');
    await makeFile(dataset, 16);
    const enclave = await enclaves.create('bench', { algorithm, datasets: { small: dataset } });
    await enclave.sendAlgorithm(algorithm);
    await enclave.sendDataset('small', dataset);
    await enclave.run();
    const file = system.file('fetched');
    const before = enclave.agent();
    const plain: Taken[] = [];
    const sealed: Taken[] = [];
    for (let round = 0; round < runs; round++) {
      plain.push(await transfer({ kind: 'plain download', target: sink.target, file, bytes: sizeMiB * MIB }));
      await rm(file);
      sealed.push(await transfer({ kind: 'sealed result', file, grpcOnly: false, ...enclave.party }));
      await rm(file);
    }
    const agent = enclave.agent();
    await enclave.remove();
    const speed = (taken: readonly Taken[]) =>
      (sizeMiB * 1.048576) / median(taken.map((each) => each.seconds));
    const value = speed(sealed);
    const baseline = speed(plain);
    const ratio = value / baseline;
    const peak = Math.max(...sealed.map((each) => each.peakMiB));
    const bar = sizeMiB === 1024 ? `>= ${SPEED_BAR}` : null;
    const alone = (figure: string, number: number, unit: string, bound: number | null): Figure => ({
      figure: `${sizeMiB} MiB: ${figure}`,
      ...{ value: number, unit, baseline: null, ratio: null },
      ...{ bar: bound === null ? null : `<= ${bound}`, ok: bound === null || number <= bound },
    });
    const perGiB = (seconds: number) => seconds / (sizeMiB / 1024);
    return [
      {
        figure: `${sizeMiB} MiB: sealed result against plain`,
        ...{ value, unit: 'MB/s', baseline, ratio, bar, ok: bar === null || ratio >= SPEED_BAR },
      },
      alone('peak memory of the receiver', peak, 'MiB', MEMORY_BAR_MIB),
      alone('peak memory of the agent', agent.peakMiB, 'MiB', MEMORY_BAR_MIB),
      alone(
        'processor of the receiver',
        perGiB(median(sealed.map((each) => each.cpuSeconds))),
        's/GiB',
        null,
      ),
      alone('processor of the agent', perGiB((agent.cpuSeconds - before.cpuSeconds) / runs), 's/GiB', null),
    ];
  }
}
