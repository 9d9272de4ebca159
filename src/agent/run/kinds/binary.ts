import { checkAlgorithmHead } from '../../../archive/algorithm-file.ts';
import { ALGORITHM_PATH, type Algorithm, NO_OVERHEAD, type RunCommand } from './kind.ts';

/** A program for the guest's processor, or a script with a `#!` line. */
export async function prepareBinary({ path, head, args }: Algorithm): Promise<RunCommand> {
  checkAlgorithmHead('binary', head);
  return {
    argv: [ALGORITHM_PATH, ...args],
    algorithm: path,
    runtime: 'binary',
    overhead: NO_OVERHEAD,
    cleanUp: async () => {},
  };
}
