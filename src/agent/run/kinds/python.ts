import { createReadStream } from 'node:fs';
import { access, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { checkAlgorithmHead, PYTHON_MAIN } from '../../../archive/algorithm-file.ts';
import { unpackArchive } from '../../../archive/unpack.ts';
import { CocosError } from '../../../errors.ts';
import { findProgram, placeProgram, versionOf } from './interpreter.ts';
import { ALGORITHM_PATH, type Algorithm, NO_OVERHEAD, type RunCommand } from './kind.ts';

const PYTHON_PATHS = ['/usr/bin/python3', '/usr/bin/python3.11', '/usr/bin/python3.13'];

/**
 * Python. The arguments are the folder of modules, the main file and the algorithm's arguments. Isolated mode (-I)
 * excludes the program's folder from the path, so the runner adds it. It removes the image's packages, so that a run
 * depends only on the standard library and the archive.
 */
const PYTHON_RUNNER = `
import runpy, sys
folder, main = sys.argv[1:3]
sys.argv[:] = sys.argv[2:]
sys.path[:] = [folder] + [p for p in sys.path if not p.endswith('-packages')]
runpy.run_path(main, run_name='__main__')
`;

/** One Python file, or a tar archive with `main.py` at its top level. */
export async function preparePython({ path, head, args, limits, paths }: Algorithm): Promise<RunCommand> {
  const python = await findProgram('Python', paths.python === undefined ? PYTHON_PATHS : [paths.python]);
  const { isArchive } = checkAlgorithmHead('python', head);
  const unpacked = isArchive ? `${path}.unpacked` : undefined;
  const cleanUp = async () => {
    if (unpacked !== undefined) await rm(unpacked, { recursive: true, force: true });
  };
  if (unpacked !== undefined) {
    const bounds = { maxBytes: limits.diskMiB * 1024 * 1024, maxEntries: 100_000 };
    await unpackArchive(createReadStream(path), unpacked, bounds);
    await access(join(unpacked, PYTHON_MAIN)).catch(async (cause: unknown) => {
      await cleanUp();
      throw new CocosError(
        'ALGORITHM_INVALID',
        "The algorithm's archive has no 'main.py' at its top level; add one.",
        { cause },
      );
    });
  }
  const [folder, main] = isArchive
    ? [ALGORITHM_PATH, `${ALGORITHM_PATH}/${PYTHON_MAIN}`]
    : ['/cocos', ALGORITHM_PATH];
  const { inside, runtimeFile } = placeProgram(python);
  return {
    argv: [inside, '-I', '-B', '-u', '-c', PYTHON_RUNNER, folder, main, ...args],
    algorithm: unpacked ?? path,
    ...runtimeFile,
    runtime: (await versionOf(python, ['-I', '-V'])).replace(/^Python/, 'python'),
    overhead: NO_OVERHEAD,
    cleanUp,
  };
}
