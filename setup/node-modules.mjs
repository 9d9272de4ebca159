import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from './run-command.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const STAMP = join(ROOT, 'node_modules', '.cocosai-lock-sha256');

/**
 * Installs the npm packages of `package-lock.json` when `node_modules` is missing or of another lock file.
 *
 * @param {{log?: (line: string) => void}} [options]
 * @returns {{installed: boolean}}
 * @throws {SetupError} when npm fails; the full log is named
 */
export function ensureNodeModules({ log = console.log } = {}) {
  const lock = createHash('sha256')
    .update(readFileSync(join(ROOT, 'package-lock.json')))
    .digest('hex');
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === lock) return { installed: false };
  if (isCurrent()) {
    writeFileSync(STAMP, lock);
    return { installed: false };
  }
  log('npm: installing the locked packages (npm ci)');
  runCommand('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: ROOT, what: 'npm ci' });
  writeFileSync(STAMP, lock);
  return { installed: true };
}

/**
 * True when npm's own record of the installed tree agrees with the lock file, so that a tree somebody
 * installed by hand is not thrown away.
 */
function isCurrent() {
  const record = join(ROOT, 'node_modules', '.package-lock.json');
  if (!existsSync(record)) return false;
  const have = JSON.parse(readFileSync(record, 'utf8')).packages;
  const want = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages;
  return Object.entries(want).every(
    ([path, entry]) =>
      path === '' ||
      entry.optional === true ||
      (have[path]?.integrity === entry.integrity && have[path] !== undefined),
  );
}
