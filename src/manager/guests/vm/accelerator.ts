import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { accessSync, constants, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { homedir, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { startHostProcess } from './host-process.ts';

/** A guest under working KVM reports within a second; one under a broken one never does. */
const PROBE_LIMIT_MS = 8_000;
const POLL_MS = 50;
const PROBE_MARK = 'COCOS-PROBE-OK';
const PROBE_MEMORY = '256M';

export type AcceleratorChoice = 'auto' | 'kvm' | 'tcg';
export type Accelerator = 'kvm' | 'tcg';

interface AcceleratorOptions {
  readonly choice: AcceleratorChoice;
  readonly qemu: string;
  readonly kernel: string;
  readonly initrd: string;
  readonly vcpuType: string;
  readonly notice: (message: string) => void;
}

const Memory = z.record(z.string(), z.enum(['kvm', 'tcg']));

/**
 * The accelerator to use. For `auto` a small guest is started under KVM once: the device file alone proves
 * nothing, since a nested KVM may open and then never get a kernel through its start. The answer is kept in
 * the cache folder for this host kernel, QEMU and image.
 */
export async function chooseAccelerator(options: AcceleratorOptions): Promise<Accelerator> {
  if (options.choice !== 'auto') return options.choice;
  if (!isKvmOpen()) {
    options.notice('KVM is not available here: the guest is emulated, which is slower.');
    return 'tcg';
  }
  const key = probeKey(options);
  const known = readMemory()[key];
  if (known !== undefined) return known;
  const works = await probeKvm(options);
  const answer = works ? 'kvm' : 'tcg';
  if (!works)
    options.notice('KVM opens but does not run a guest here: the guest is emulated, which is slower.');
  remember(key, answer);
  return answer;
}

function isKvmOpen(): boolean {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Starts kernel and first init alone; true when init reports before the limit. */
async function probeKvm(options: AcceleratorOptions): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'cocosai-probe-'));
  const consolePath = join(folder, 'console');
  const qemu = await startHostProcess(
    options.qemu,
    [
      ...[
        '-nodefaults',
        '-no-user-config',
        '-no-reboot',
        '-display',
        'none',
        '-monitor',
        'none',
        '-nic',
        'none',
      ],
      ...['-machine', 'q35', '-accel', 'kvm', '-cpu', options.vcpuType, '-m', PROBE_MEMORY],
      ...['-chardev', `file,id=console,path=${consolePath}`, '-serial', 'chardev:console'],
      ...['-kernel', options.kernel, '-initrd', options.initrd],
      ...['-append', 'console=ttyS0 quiet panic=-1 cocos.probe=1'],
    ],
    join(folder, 'qemu.log'),
  );
  let hasEnded = false;
  const ended = qemu.exited.then(() => {
    hasEnded = true;
  });
  const hasReported = async (): Promise<boolean> =>
    (await readFile(consolePath, 'latin1').catch(() => '')).includes(PROBE_MARK);
  const deadline = performance.now() + PROBE_LIMIT_MS;
  while (!hasEnded && performance.now() < deadline && !(await hasReported())) await sleep(POLL_MS);
  const works = await hasReported();
  await qemu.end();
  await ended;
  await rm(folder, { recursive: true, force: true });
  return works;
}

function probeKey(options: AcceleratorOptions): string {
  const version = execFileSync(options.qemu, ['--version'], { encoding: 'utf8' }).split('\n')[0] ?? '';
  const hash = createHash('sha256');
  for (const file of [options.kernel, options.initrd])
    hash.update(createHash('sha256').update(readFileSync(file)).digest());
  hash.update(JSON.stringify([release(), version, options.vcpuType]));
  return hash.digest('hex');
}

function memoryFile(): string {
  const base = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  return join(process.env['COCOSAI_CACHE'] || join(base, 'cocosai'), 'accelerator.json');
}

/** What is remembered; a file that is missing or damaged counts as nothing. */
function readMemory(): z.infer<typeof Memory> {
  try {
    return Memory.parse(JSON.parse(readFileSync(memoryFile(), 'utf8')));
  } catch {
    return {};
  }
}

function remember(key: string, answer: Accelerator): void {
  const file = memoryFile();
  const part = `${file}.${process.pid}`;
  try {
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(part, JSON.stringify({ ...readMemory(), [key]: answer }));
    renameSync(part, file);
  } catch {
    // Without a cache folder the probe is merely repeated.
    rmSync(part, { force: true });
  }
}
