import { CocosError } from '../errors.ts';

/** The checks of an algorithm's file that the command line makes before it sends one, and the agent before it runs one. */

/** Bytes of a file that determine its kind: the tar magic is at offset 257. */
export const ALGORITHM_HEAD_BYTES = 512;
/** Module that starts a Python archive. */
export const PYTHON_MAIN = 'main.py';

export type AlgorithmKindName = 'binary' | 'python' | 'wasm';

/**
 * Checks the first bytes of a file.
 *
 * @returns whether the file is a tar archive, as only a python algorithm may be
 * @throws CocosError ALGORITHM_INVALID if the file is not of the kind
 */
export function checkAlgorithmHead(kind: AlgorithmKindName, head: Buffer): { readonly isArchive: boolean } {
  switch (kind) {
    case 'binary':
      requireProgram(head);
      return { isArchive: false };
    case 'wasm':
      if (!startsWith(head, '\0asm')) {
        throw invalidAlgorithm('was declared as wasm but is not a WebAssembly module');
      }
      return { isArchive: false };
    case 'python': {
      const isArchive = isTar(head);
      if (!isArchive && head.includes(0)) {
        throw invalidAlgorithm('was declared as python but is neither a Python source nor a tar archive');
      }
      return { isArchive };
    }
  }
}

export function isTar(head: Buffer): boolean {
  return head.subarray(257, 262).toString('latin1') === 'ustar';
}

export function isGzip(head: Buffer): boolean {
  return startsWith(head, '\x1f\x8b');
}

/** A zip with at least one file. */
export function isZip(head: Buffer): boolean {
  return startsWith(head, 'PK\x03\x04');
}

export function invalidAlgorithm(why: string): CocosError {
  return new CocosError('ALGORITHM_INVALID', `The algorithm ${why}.`);
}

/** A program for the guest's processor, or a script with a `#!` line. */
function requireProgram(head: Buffer): void {
  if (startsWith(head, '\x7fELF')) requireOwnMachine(head);
  else if (!startsWith(head, '#!')) {
    throw invalidAlgorithm(
      'was declared as binary but is neither an ELF program nor a script with a #! line',
    );
  }
}

/** ELF header: class at 4, byte order at 5, type at 16 (2 and 3 are executables), machine at 18 (62 is x86-64). */
function requireOwnMachine(head: Buffer): void {
  const fits = head.length >= 64 && head[4] === 2 && head[5] === 1;
  if (!fits || ![2, 3].includes(head.readUInt16LE(16)) || head.readUInt16LE(18) !== 62) {
    throw invalidAlgorithm('is an ELF file but not a program for x86-64');
  }
}

function startsWith(head: Buffer, magic: string): boolean {
  return head.subarray(0, magic.length).equals(Buffer.from(magic, 'latin1'));
}
