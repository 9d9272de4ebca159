import { constants } from 'node:fs';
import { access, open, realpath, stat } from 'node:fs/promises';
import { SYSTEM_FOLDERS } from '../bwrap-arguments.ts';

/**
 * The program that the kernel needs in order to start another one. It is looked up before the run, because a failed
 * start in the sandbox looks the same as whatever the algorithm prints.
 */

/** The longest `#!` line that the kernel reads. */
const LINE_BYTES = 256;
const PROGRAM_HEADER_BYTES = 56;
/** Program header type of the path of the dynamic loader. */
const PT_INTERP = 3;
const MAX_HEADERS = 64;

/** The interpreter that a `#!` line names; null if it names none. */
export function scriptInterpreter(head: Buffer): string | null {
  const line = head.subarray(2, LINE_BYTES).toString('utf8').split('\n', 1)[0] ?? '';
  return /^[ \t]*([^ \t\0]+)/.exec(line)?.[1] ?? null;
}

/** The dynamic loader that a 64-bit ELF file names; null if it names none, as a static program does. */
export async function elfInterpreter(path: string): Promise<string | null> {
  const file = await open(path, 'r');
  const read = async (at: number, length: number) => {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, at);
    return buffer.subarray(0, bytesRead);
  };
  try {
    const header = await read(0, 64);
    const at = Number(header.readBigUInt64LE(32));
    const count = Math.min(header.readUInt16LE(56), MAX_HEADERS);
    if (!Number.isSafeInteger(at) || header.readUInt16LE(54) !== PROGRAM_HEADER_BYTES) return null;
    const table = await read(at, count * PROGRAM_HEADER_BYTES);
    for (let start = 0; start + PROGRAM_HEADER_BYTES <= table.length; start += PROGRAM_HEADER_BYTES) {
      if (table.readUInt32LE(start) !== PT_INTERP) continue;
      const offset = Number(table.readBigUInt64LE(start + 8));
      const size = Math.min(Number(table.readBigUInt64LE(start + 32)), LINE_BYTES);
      if (!Number.isSafeInteger(offset)) return null;
      return (await read(offset, size)).toString('utf8').replace(/\0.*$/s, '');
    }
    return null;
  } finally {
    await file.close();
  }
}

/** Whether the sandbox has an executable file at this path. */
export async function isInSandbox(path: string): Promise<boolean> {
  const resolved = await realpath(path).catch(() => null);
  if (resolved === null || !['/usr', ...SYSTEM_FOLDERS].some((each) => resolved.startsWith(`${each}/`)))
    return false;
  const isExecutable = await access(resolved, constants.X_OK).then(
    () => true,
    () => false,
  );
  return isExecutable && (await stat(resolved)).isFile();
}
