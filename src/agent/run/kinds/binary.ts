import { checkAlgorithmHead, invalidAlgorithm } from '../../../archive/algorithm-file.ts';
import { ALGORITHM_PATH, type Algorithm, NO_OVERHEAD, type RunCommand } from './kind.ts';
import { elfInterpreter, isInSandbox, scriptInterpreter } from './program-interpreter.ts';

/** A program for the guest's processor, or a script with a `#!` line. */
export async function prepareBinary({ path, head, args }: Algorithm): Promise<RunCommand> {
  checkAlgorithmHead('binary', head);
  const isElf = head.subarray(0, 4).equals(Buffer.from('\x7fELF', 'latin1'));
  const interpreter = isElf ? await elfInterpreter(path) : (scriptInterpreter(head) ?? '');
  if (interpreter !== null && !(await isInSandbox(interpreter))) {
    throw invalidAlgorithm(
      `needs ${JSON.stringify(interpreter)}, which is not an executable file in the enclave; check its ${isElf ? 'dynamic loader, or link it statically' : '#! line'}`,
    );
  }
  return {
    argv: [ALGORITHM_PATH, ...args],
    algorithm: path,
    runtime: 'binary',
    overhead: NO_OVERHEAD,
    cleanUp: async () => {},
  };
}
