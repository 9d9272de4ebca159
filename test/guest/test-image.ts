import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { secureBootKeys } from '../../eos/uefi/keys.ts';
import type { ImageFiles } from '../../src/manager/guests/vm/boot-files.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const SECURE_BOOT_KEYS = join(ROOT, 'build/test-secure-boot-keys');

/** The images that tests boot: arguments of the builder by the name of the folder in `build/`. */
const IMAGES = {
  eos: [],
  'eos-signed': ['--secure-boot', SECURE_BOOT_KEYS, '--unsigned', join(ROOT, 'build/eos')],
  /** Signed too, with `test-agent.ts` in place of the agent. */
  'eos-test': ['--secure-boot', SECURE_BOOT_KEYS, '--agent', 'test/guest/test-agent.ts'],
} as const;

/** Files of an image, each of which a test may replace. */
export interface TestImage {
  readonly firmware: string;
  readonly kernel: string;
  readonly initrd: string;
  readonly rootImage: string;
  readonly commandLine: string;
  /** In place of the others but the root image. */
  readonly uefi?: { readonly firmware: string; readonly variables: string; readonly kernel: string };
}

/** The image as a guest starts from it. */
export function bootable({ rootImage, uefi, ...direct }: TestImage): ImageFiles {
  const probe = { kernel: direct.kernel, initrd: direct.initrd };
  return {
    ...{ rootImage, probe },
    boot: uefi === undefined ? { kind: 'direct', ...direct } : { kind: 'uefi', ...uefi },
  };
}

/** Why guests cannot be started here, or null. */
export function whyNoGuests(): string | null {
  if (spawnSync('qemu-system-x86_64', ['--version']).status !== 0) return 'there is no QEMU';
  if (spawnSync('dpkg-deb', ['--version']).status !== 0) return 'the image needs dpkg-deb to be built';
  return null;
}

/** Builds every image that tests boot, before all of them; quick for those that are there already. */
export async function buildTestImages(): Promise<void> {
  // Both signed ones would create them.
  secureBootKeys(SECURE_BOOT_KEYS);
  await Promise.all([
    buildImage('eos', IMAGES.eos).then(() => buildImage('eos-signed', IMAGES['eos-signed'])),
    buildImage('eos-test', IMAGES['eos-test']),
  ]);
}

/** @param options arguments of the builder, which does nothing when nothing has changed */
export async function buildImage(name: string, options: readonly string[]): Promise<TestImage> {
  const build = spawn(
    process.execPath,
    ['--import', 'tsx', 'eos/build.ts', '--out', join(ROOT, 'build', name), ...options],
    { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  for (const stream of [build.stdout, build.stderr])
    stream.on('data', (part: Buffer) => (output += part.toString()));
  const [status] = await once(build, 'close');
  if (status !== 0) throw new Error(`building the image ${name} failed: ${output}`);
  return imageFiles(name);
}

/** @param name of an image that {@link buildTestImages} has built */
export function testImage(name: keyof typeof IMAGES): TestImage {
  return imageFiles(name);
}

function imageFiles(name: string): TestImage {
  const folder = join(ROOT, 'build', name);
  return {
    firmware: join(folder, 'bios.bin'),
    kernel: join(folder, 'vmlinuz'),
    initrd: join(folder, 'initrd.img'),
    rootImage: join(folder, 'root.img'),
    commandLine: readFileSync(join(folder, 'cmdline'), 'utf8'),
  };
}

/** The same image for a UEFI boot. */
export function uefiFiles(image: TestImage): NonNullable<TestImage['uefi']> {
  const folder = dirname(image.kernel);
  return {
    firmware: join(folder, 'ovmf-code.fd'),
    variables: join(folder, 'ovmf-vars.fd'),
    kernel: join(folder, 'eos.efi'),
  };
}
