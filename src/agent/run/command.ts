import { open } from 'node:fs/promises';
import { ALGORITHM_HEAD_BYTES } from '../../archive/algorithm-file.ts';
import type { RunCommand, RuntimePaths } from './kinds/kind.ts';
import { KINDS } from './kinds/kinds.ts';

export type RunKind = keyof typeof KINDS;

/**
 * The command that starts an algorithm in the sandbox, after the checks of its kind.
 *
 * @throws CocosError ALGORITHM_INVALID if the file is not of its kind, ARCHIVE_UNSAFE for a bad archive,
 * SANDBOX_UNAVAILABLE if the interpreter is missing
 */
export async function prepareCommand(
  kind: RunKind,
  path: string,
  args: readonly string[],
  limits: { readonly memoryMiB: number; readonly diskMiB: number },
  paths: RuntimePaths,
): Promise<RunCommand> {
  return KINDS[kind]({ path, head: await readHead(path), args, limits, paths });
}

async function readHead(path: string): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(
      Buffer.alloc(ALGORITHM_HEAD_BYTES),
      0,
      ALGORITHM_HEAD_BYTES,
      0,
    );
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
