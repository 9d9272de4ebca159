import { execFile } from 'node:child_process';
import { realpath } from 'node:fs/promises';
import { promisify } from 'node:util';
import { CocosError } from '../../../errors.ts';

/** Interpreters of the image, or of the host in process mode. */

const RUNTIME = '/cocos/runtime';
const VERSION_TIMEOUT_MS = 10_000;
const MAX_VERSION_LENGTH = 40;

/** The sandbox contains /usr. A program outside it is mounted separately. */
export function placeProgram(path: string): { inside: string; runtimeFile: { runtimeFile?: string } } {
  if (path.startsWith('/usr/')) return { inside: path, runtimeFile: {} };
  return { inside: RUNTIME, runtimeFile: { runtimeFile: path } };
}

export async function findProgram(name: string, candidates: readonly string[]): Promise<string> {
  for (const candidate of candidates) {
    const found = await realpath(candidate).catch(() => undefined);
    if (found !== undefined) return found;
  }
  throw new CocosError(
    'SANDBOX_UNAVAILABLE',
    `${name} was not found at ${candidates.join(', ')}; install it or select another runtime.`,
  );
}

export async function versionOf(program: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(program, [...args], {
      timeout: VERSION_TIMEOUT_MS,
      env: {},
    });
    // Interpreters add more lines; receipt and journal have room for a short name.
    const [line = ''] = stdout.trim().split('\n');
    return line.replace(/[^A-Za-z0-9 ,.+-]/g, ' ').slice(0, MAX_VERSION_LENGTH);
  } catch (cause) {
    throw new CocosError('SANDBOX_UNAVAILABLE', `The interpreter '${program}' does not run.`, { cause });
  }
}
