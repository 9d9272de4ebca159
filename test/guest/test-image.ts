import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ImageFiles } from '../../src/manager/guests/vm/boot-files.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Why guests cannot be started here, or null. */
export function whyNoGuests(): string | null {
  if (spawnSync('qemu-system-x86_64', ['--version']).status !== 0) return 'there is no QEMU';
  if (spawnSync('dpkg-deb', ['--version']).status !== 0) return 'the image needs dpkg-deb to be built';
  return null;
}

/**
 * Builds the EOS image with another entry script in place of the agent; quick when it is there already.
 *
 * @param agent path relative to the repository
 * @param options more arguments of the builder
 */
export function buildTestImage(agent: string, name: string, options: readonly string[] = []): ImageFiles {
  const folder = join(ROOT, 'build', name);
  const build = spawnSync(
    process.execPath,
    ['--import', 'tsx', 'eos/build.ts', '--agent', agent, '--out', folder, ...options],
    {
      cwd: ROOT,
      encoding: 'utf8',
    },
  );
  if (build.status !== 0) throw new Error(`building the test image failed: ${build.stdout}${build.stderr}`);
  return {
    firmware: join(folder, 'bios.bin'),
    kernel: join(folder, 'vmlinuz'),
    initrd: join(folder, 'initrd.img'),
    rootImage: join(folder, 'root.img'),
    commandLine: readFileSync(join(folder, 'cmdline'), 'utf8'),
  };
}

/** The same image for a UEFI boot. */
export function uefiFiles(image: ImageFiles): NonNullable<ImageFiles['uefi']> {
  const folder = dirname(image.kernel);
  return {
    firmware: join(folder, 'ovmf-code.fd'),
    variables: join(folder, 'ovmf-vars.fd'),
    kernel: join(folder, 'eos.efi'),
  };
}
