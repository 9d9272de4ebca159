import type { Figure } from './figure.ts';
import { median } from './figure.ts';
import type { Taken } from './transfer/protocol.ts';
import { MIB, makeFile, startEnclaves, startSink, transfer } from './transfer/world.ts';

/**
 * Sealed uploads in process mode, relay and all, beside the plainest grpc-js client stream of the same file straight to
 * a sink, the same over TLS, and reading, hashing and sealing alone. `npm run bench -- upload [MiB...] [--runs=N]`
 */
const SIZES_MIB = [256, 1024, 4096];
const RUNS = 5;
const SPEED_BAR = 1.5;
const MEMORY_BAR_MIB = 200;

export async function run(args: readonly string[]): Promise<Figure[]> {
  const sizes = args.filter((each) => /^\d+$/.test(each)).map(Number);
  const runs = Number(args.find((each) => each.startsWith('--runs='))?.slice('--runs='.length) ?? RUNS);
  const enclaves = await startEnclaves();
  const plain = await startSink(false);
  const tls = await startSink(true);
  try {
    const figures: Figure[] = [];
    for (const sizeMiB of sizes.length > 0 ? sizes : SIZES_MIB) figures.push(...(await measure(sizeMiB)));
    return figures;
  } finally {
    await plain.stop();
    await tls.stop();
    await enclaves.system.stop();
  }

  async function measure(sizeMiB: number): Promise<Figure[]> {
    const file = enclaves.system.file('big');
    await makeFile(file, sizeMiB * MIB);
    const taken = new Map<string, Taken[]>();
    const note = (name: string, each: Taken) => taken.set(name, [...(taken.get(name) ?? []), each]);
    for (let round = 0; round < runs; round++) {
      note('plain', await transfer({ kind: 'plain upload', target: plain.target, tls: false, file }));
      await sealed('sealed', false);
      note('tls', await transfer({ kind: 'plain upload', target: tls.target, tls: true, file }));
      note('crypto', await transfer({ kind: 'crypto alone', file }));
      if (round === 0) await sealed('sealed in gRPC', true);
    }
    const speed = (name: string) =>
      (sizeMiB * 1.048576) / median((taken.get(name) ?? []).map((each) => each.seconds));
    const peak = (name: string) => Math.max(...(taken.get(name) ?? []).map((each) => each.peakMiB));
    const cpu = (name: string) =>
      median((taken.get(name) ?? []).map((each) => each.cpuSeconds)) / (sizeMiB / 1024);
    const compared = (name: string, base: string, bar: number | null): Figure => {
      const ratio = speed(name) / speed(base);
      return {
        figure: `${sizeMiB} MiB: ${name} against ${base}`,
        ...{ value: speed(name), unit: 'MB/s', baseline: speed(base), ratio },
        ...{ bar: bar === null ? null : `>= ${bar}`, ok: bar === null || ratio >= bar },
      };
    };
    const alone = (figure: string, value: number, unit: string, bar: number | null): Figure => ({
      figure: `${sizeMiB} MiB: ${figure}`,
      ...{ value, unit, baseline: null, ratio: null },
      ...{ bar: bar === null ? null : `<= ${bar}`, ok: bar === null || value <= bar },
    });
    return [
      compared('sealed', 'plain', sizeMiB === 1024 ? SPEED_BAR : null),
      compared('sealed', 'tls', null),
      compared('sealed', 'crypto', null),
      compared('sealed in gRPC', 'plain', null),
      alone('peak memory of the sender', peak('sealed'), 'MiB', MEMORY_BAR_MIB),
      alone('peak memory of the agent', peak('agent of sealed'), 'MiB', MEMORY_BAR_MIB),
      alone('processor of the sender', cpu('sealed'), 's/GiB', null),
      alone('processor of the agent', cpu('agent of sealed'), 's/GiB', null),
      alone('processor of the plain sender', cpu('plain'), 's/GiB', null),
    ];

    async function sealed(name: string, grpcOnly: boolean): Promise<void> {
      const enclave = await enclaves.create('bench', { algorithm: file, datasets: { big: file } });
      const before = enclave.agent();
      const task = { kind: 'sealed upload', input: 'big', file, grpcOnly } as const;
      const sender = await transfer({ ...task, ...enclave.party });
      const after = enclave.agent();
      note(name, sender);
      note(`agent of ${name}`, {
        seconds: sender.seconds,
        cpuSeconds: after.cpuSeconds - before.cpuSeconds,
        peakMiB: after.peakMiB,
      });
      await enclave.remove();
    }
  }
}
