import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { directBoot } from '../src/manager/guests/platforms/guest-plan.ts';
import { launchVmGuest } from '../src/manager/guests/vm/vm-guest.ts';
import { type Figure, median } from './figure.ts';

/**
 * From `enclave create` to an agent that is ready, beside the bare boot of the same kernel and image to a node process
 * that does nothing but say that it runs.
 */
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const RUNS = 3;
const MEMORY_MIB = 256;
const BAR = 1.3;
const MIB = 1024 * 1024;
const ROOT_IMAGE_BAR_MIB = 60;
const LIMIT_MS = 120_000;
const HELLO = 'COCOS-BENCH-HELLO';

export async function run(): Promise<Figure[]> {
  const bare = buildImage('bench-boot-bare', ['--agent', 'bench/guest/hello.ts']);
  const real = buildImage('eos', []);
  const bareTimes: number[] = [];
  const readyTimes: number[] = [];
  for (let index = 0; index < RUNS; index++) {
    bareTimes.push(await bareBoot(bare));
    readyTimes.push(await createToReady(real));
  }
  const value = median(readyTimes);
  const baseline = median(bareTimes);
  const ratio = value / baseline;
  const size = readFileSync(path.join(real, 'root.img')).length / MIB;
  return [
    {
      figure: `create to ready, ${MEMORY_MIB} MiB`,
      ...{ value, unit: 's', baseline, ratio, bar: `<= ${BAR}`, ok: ratio <= BAR },
    },
    {
      figure: 'root image',
      ...{ value: size, unit: 'MiB', baseline: null, ratio: null },
      ...{ bar: `<= ${ROOT_IMAGE_BAR_MIB}`, ok: size <= ROOT_IMAGE_BAR_MIB },
    },
  ];
}

function buildImage(name: string, options: readonly string[]): string {
  const folder = path.join(ROOT, 'build', name);
  const args = ['--import', 'tsx', 'eos/build.ts', '--out', folder, ...options];
  const build = spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' });
  if (build.status !== 0) throw new Error(`the image was not built: ${build.stdout}${build.stderr}`);
  return folder;
}

/** Seconds from starting QEMU to the first line of the node process. */
async function bareBoot(image: string): Promise<number> {
  const folder = await mkdtemp(path.join(tmpdir(), 'cocos-b-'));
  const logFile = path.join(folder, 'console.log');
  try {
    const begin = performance.now();
    const guest = await launchVmGuest({
      image: (await directBoot(image, 'bios.bin')).image,
      ...{ vcpus: 1, vcpuType: 'EPYC-v3', memoryMiB: MEMORY_MIB, accelerator: 'auto' },
      ...{ socketDir: folder, logFile, notice: () => undefined },
    });
    try {
      while (!readFileSync(logFile, 'latin1').includes(HELLO)) {
        if (performance.now() - begin > LIMIT_MS) throw new Error('the bare guest did not start');
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return (performance.now() - begin) / 1000;
    } finally {
      await guest.kill();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Seconds of `enclave create`, from its start to its end, on a manager that runs already. */
async function createToReady(image: string): Promise<number> {
  const folder = await mkdtemp(path.join(tmpdir(), 'cocos-b-'));
  const environment = {
    ...process.env,
    COCOSAI_STATE_DIR: path.join(folder, 'state'),
    COCOSAI_RUN_DIR: path.join(folder, 'run'),
    COCOSAI_EOS_DIR: image,
    COCOSAI_ON_STOP: 'stop',
  };
  const program = (name: string): string => path.join(ROOT, 'dist', name);
  const cli = async (...args: readonly string[]): Promise<number | null> => {
    const child = spawn(process.execPath, [program('cocos-cli.js'), ...args], {
      env: environment,
      stdio: 'ignore',
    });
    const [code] = await once(child, 'exit');
    return typeof code === 'number' ? code : null;
  };
  const manager = spawn(process.execPath, [program('cocos-manager.js')], {
    env: environment,
    stdio: 'ignore',
  });
  try {
    while ((await cli('attestation', 'policy', '--out', path.join(folder, 'policy.json'))) !== 0) {
      if (manager.exitCode !== null) throw new Error('the manager did not start');
      await rm(path.join(folder, 'policy.json'), { force: true });
    }
    const begin = performance.now();
    const create = ['enclave', 'create', 'bench', '--vcpus', '1', '--memory', String(MEMORY_MIB)];
    if ((await cli(...create)) !== 0) throw new Error('the enclave did not become ready');
    return (performance.now() - begin) / 1000;
  } finally {
    manager.kill('SIGTERM');
    if (manager.exitCode === null) await once(manager, 'exit');
    await rm(folder, { recursive: true, force: true });
  }
}
