import { spawnSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Runs one command of the build, in the C locale, in UTC and under one umask: mkfs.erofs, for one, writes the mode of a
 * temporary file of its own into the image.
 *
 * @throws Error that names the file with the full output when the command fails
 */
export function runStep(what: string, command: string, args: readonly string[]): string {
  const result = withUmask(() =>
    spawnSync(command, args, {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', TZ: 'UTC' },
      maxBuffer: 64 * 1024 * 1024,
    }),
  );
  if (result.status === 0) return result.stdout;
  const log = join(mkdtempSync(join(tmpdir(), 'cocosai-eos-')), 'output.log');
  writeFileSync(log, `$ ${[command, ...args].join(' ')}\n${result.stdout ?? ''}${result.stderr ?? ''}`);
  const end = result.error?.message ?? `ended with ${result.status ?? result.signal}`;
  throw new Error(`${what}: ${end}; full log in ${log}`, { cause: result.error });
}

/** A child inherits the umask of this process and cannot be given another. */
function withUmask<Result>(run: () => Result): Result {
  const before = process.umask(0o022);
  try {
    return run();
  } finally {
    process.umask(before);
  }
}
