import { ALGORITHM_PATH, type Algorithm, invalidAlgorithm, NO_OVERHEAD, type RunCommand } from './kind.ts';
import { elfInterpreter, isInSandbox, scriptInterpreter } from './program-interpreter.ts';

/** A program for the guest's processor, or a script with a `#!` line. */
export async function prepareBinary({ path, head, args }: Algorithm): Promise<RunCommand> {
  const isElf = head.subarray(0, 4).equals(Buffer.from('\x7fELF', 'latin1'));
  if (isElf) requireOwnMachine(head);
  else if (head.subarray(0, 2).toString('latin1') !== '#!') {
    throw invalidAlgorithm(
      'was declared as binary but is neither an ELF program nor a script with a #! line',
    );
  }
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

/** ELF header: class at 4, byte order at 5, type at 16 (2 and 3 are executables), machine at 18 (62 is x86-64). */
function requireOwnMachine(head: Buffer): void {
  const fits = head.length >= 64 && head[4] === 2 && head[5] === 1;
  if (!fits || ![2, 3].includes(head.readUInt16LE(16)) || head.readUInt16LE(18) !== 62) {
    throw invalidAlgorithm('is an ELF file but not a program for x86-64');
  }
}
