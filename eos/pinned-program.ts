import { join } from 'node:path';
import { runStep } from './run-step.ts';
import type { UnpackedPackages } from './unpack.ts';

const LIB = 'usr/lib/x86_64-linux-gnu/';

/**
 * Runs a program of a pinned package under its own loader and libraries: its version decides the bytes of the image,
 * and the host need not have it.
 *
 * @param path of the program in the package of the wish
 */
export function runPinned(
  packages: UnpackedPackages,
  wish: string,
  path: string,
  args: readonly string[],
): void {
  const libraries = packages.list.map((entry) => join(packages.folder(entry.wish), LIB)).join(':');
  const loader = join(packages.folder('libc6'), LIB, 'ld-linux-x86-64.so.2');
  const program = join(packages.folder(wish), path);
  runStep(path, loader, ['--library-path', libraries, program, ...args]);
}
