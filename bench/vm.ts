import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { PORTS } from '../src/link/transport/transport.ts';
import { launchVmGuest } from '../src/manager/guests/vm/vm-guest.ts';
import { openRelay } from '../src/manager/relay/relay.ts';
import { bootable, buildImage } from '../test/guest/test-image.ts';
import { type Figure, median } from './figure.ts';
import { MIB, makeFile, randomResult, startEnclaves, transfer } from './transfer/world.ts';

/**
 * Transfers with a real virtual machine: sealed, through the manager's relay, beside the plainest grpc-js streams over vsock to
 * a sink in a guest of the same size and kernel. `npm run bench -- vm [MiB] [--runs=N]`
 */
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SIZE_MIB = 64;
const RUNS = 3;
const BAR = 2;
const GUEST = { vcpus: 2, memoryMiB: 1024 } as const;

type Seconds = Readonly<Record<'up' | 'down', number>>;

interface Plain {
  readonly seconds: Seconds;
  /** MB/s of opening and hashing alone in the guest. */
  readonly crypto: number;
}

export async function run(args: readonly string[]): Promise<Figure[]> {
  const sizeMiB = Number(args.find((each) => /^\d+$/.test(each)) ?? SIZE_MIB);
  const runs = Number(args.find((each) => each.startsWith('--runs='))?.slice('--runs='.length) ?? RUNS);
  const folder = await mkdtemp(path.join(tmpdir(), 'cocos-b-'));
  try {
    const file = path.join(folder, 'big');
    await makeFile(file, sizeMiB * MIB);
    // One guest at a time has this machine for itself.
    const { seconds: plain, crypto } = await plainStreams(folder, file, sizeMiB, runs);
    const sealed = await sealedTransfers(file, sizeMiB, runs);
    const compared = (name: string, side: keyof Seconds): Figure => {
      const speed = (seconds: Seconds) => (sizeMiB * 1.048576) / seconds[side];
      const [value, baseline] = [speed(sealed), speed(plain)];
      const ratio = value / baseline;
      const figure = `${name} in a virtual machine, ${sizeMiB} MiB: sealed against gRPC over vsock`;
      return { figure, value, unit: 'MB/s', baseline, ratio, bar: `>= ${BAR}`, ok: ratio >= BAR };
    };
    const upload = compared('upload', 'up');
    const bound: Figure = {
      figure: 'upload in a virtual machine: sealed against opening and hashing alone in the guest',
      ...{ value: upload.value, unit: 'MB/s', baseline: crypto, ratio: upload.value / crypto },
      ...{ bar: null, ok: true },
    };
    return [upload, bound, compared('result', 'down')];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function plainStreams(folder: string, file: string, sizeMiB: number, runs: number): Promise<Plain> {
  const logFile = path.join(folder, 'console.log');
  const guest = await launchVmGuest({
    image: bootable(await buildImage('bench-sink', ['--agent', 'bench/guest/sink.ts'])),
    ...{ ...GUEST, vcpuType: 'EPYC-v3', accelerator: 'auto' },
    ...{ socketDir: folder, logFile, notice: () => undefined },
  });
  try {
    const connect = () => guest.transport.connect(PORTS.participants);
    await untilAnswers(connect);
    const relay = await openRelay({ at: { tcp: '127.0.0.1', port: 0 }, connect });
    try {
      const target = relay.address.replace('tcp:', '');
      const up: number[] = [];
      const down: number[] = [];
      const back = path.join(folder, 'back');
      for (let index = 0; index < runs; index++) {
        up.push((await transfer({ kind: 'plain upload', target, tls: false, file })).seconds);
        const bytes = sizeMiB * MIB;
        down.push((await transfer({ kind: 'plain download', target, file: back, bytes })).seconds);
      }
      const [, crypto] = /COCOS-BENCH-CRYPTO ([\d.]+)/.exec(readFileSync(logFile, 'latin1')) ?? [];
      return { seconds: { up: median(up), down: median(down) }, crypto: Number(crypto) };
    } finally {
      await relay.close();
    }
  } finally {
    await guest.kill();
  }
}

async function untilAnswers(connect: () => Promise<{ destroy(): unknown }>): Promise<void> {
  for (let attempt = 0; attempt < 240; attempt++) {
    const stream = await connect().catch(() => null);
    stream?.destroy();
    if (stream !== null) return;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  throw new Error('the guest with the sink did not start');
}

async function sealedTransfers(file: string, sizeMiB: number, runs: number): Promise<Seconds> {
  const { system, create } = await startEnclaves({
    mode: 'vm',
    reference: path.join(ROOT, 'build/eos/reference-values.json'),
    size: ['--vcpus', String(GUEST.vcpus), '--memory', String(GUEST.memoryMiB)],
  });
  try {
    const algorithm = system.file('algorithm.py');
    await writeFile(algorithm, randomResult(sizeMiB));
    const names = Array.from({ length: runs }, (_, index) => `big${index}`);
    const datasets = Object.fromEntries(names.map((name) => [name, file]));
    const enclave = await create('bench', { algorithm, datasets });
    await enclave.sendAlgorithm(algorithm);
    const common = { grpcOnly: false, ...enclave.party };
    const up: number[] = [];
    const down: number[] = [];
    for (const input of names) {
      up.push((await transfer({ kind: 'sealed upload', input, file, ...common })).seconds);
    }
    await enclave.run();
    for (const name of names) {
      const back = system.file(`${name}.cocos`);
      down.push((await transfer({ kind: 'sealed result', file: back, ...common })).seconds);
    }
    return { up: median(up), down: median(down) };
  } finally {
    await system.stop();
  }
}
