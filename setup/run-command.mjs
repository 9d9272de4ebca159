import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** A set-up step that cannot go on; `message` tells a person what to do. */
export class SetupError extends Error {
  name = 'SetupError';
}

/** Folder of everything fetched or measured once: COCOSAI_CACHE, else below the user's cache folder. */
export function cacheFolder() {
  const base = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return process.env.COCOSAI_CACHE || join(base, 'cocosai');
}

/**
 * Runs a command to its end in the C locale and returns its standard output.
 *
 * @param {string} file command
 * @param {readonly string[]} args arguments
 * @param {{cwd?: string, env?: Record<string, string>, what?: string}} [options] `what` names the step in errors
 * @returns {string} standard output, at most 64 MiB
 * @throws {SetupError} when it cannot be started or ends other than with 0; the full output is in a file then
 */
export function runCommand(file, args, options = {}) {
  const result = spawnSync(file, args, {
    cwd: options.cwd,
    env: { ...process.env, LC_ALL: 'C', LANGUAGE: '', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  const what = options.what ?? file;
  if (result.error !== undefined)
    throw new SetupError(`${what}: ${result.error.message}`, { cause: result.error });
  if (result.status === 0) return result.stdout;
  mkdirSync(cacheFolder(), { recursive: true });
  const log = join(cacheFolder(), 'setup-failure.log');
  writeFileSync(log, `$ ${[file, ...args].join(' ')}\n${result.stdout}${result.stderr}`);
  const reason = `${result.stderr}\n${result.stdout}`
    .split('\n')
    .filter((line) => /^E:|error|cannot|failed/i.test(line))
    .slice(0, 3)
    .join('; ');
  const end = result.status === null ? `ended by ${result.signal}` : `ended with ${result.status}`;
  throw new SetupError(`${what}: ${end}${reason === '' ? '' : ` (${reason})`}; full log in ${log}`);
}

/** True when `file` is a command on PATH. */
export function hasCommand(file) {
  return spawnSync('sh', ['-c', `command -v "$1" >/dev/null`, 'sh', file]).status === 0;
}
