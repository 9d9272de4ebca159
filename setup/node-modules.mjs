import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runCommand } from './run-command.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Folders with packages of their own: the project, the Node.js of the guest, and the generator of API pages. */
export const NPM_FOLDERS = {
  project: ROOT,
  guestNode: join(ROOT, 'eos/node'),
  apiDocs: join(ROOT, 'docs/api'),
};

/**
 * Installs the npm packages of a folder's `package-lock.json` when its `node_modules` is missing or belongs to another
 * lock file.
 *
 * @param {{folder: string, log?: (line: string) => void}} options
 * @returns {{installed: boolean}}
 * @throws {SetupError} when npm fails; the full log is named
 */
export function ensureNodeModules({ folder, log = console.log }) {
  const stamp = join(folder, 'node_modules', '.cocosai-lock-sha256');
  const lock = createHash('sha256')
    .update(readFileSync(join(folder, 'package-lock.json')))
    .digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return { installed: false };
  if (isCurrent(folder)) {
    writeFileSync(stamp, lock);
    return { installed: false };
  }
  log(`npm: installing the locked packages of ${relative(ROOT, folder) || 'the project'} (npm ci)`);
  runCommand('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: folder, what: 'npm ci' });
  writeFileSync(stamp, lock);
  return { installed: true };
}

/**
 * True when npm's own record of the installed tree agrees with the lock file, so that a tree somebody
 * installed by hand is not thrown away.
 */
function isCurrent(folder) {
  const record = join(folder, 'node_modules', '.package-lock.json');
  if (!existsSync(record)) return false;
  const have = JSON.parse(readFileSync(record, 'utf8')).packages;
  const want = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8')).packages;
  return Object.entries(want).every(
    ([path, entry]) =>
      path === '' ||
      entry.optional === true ||
      (have[path]?.integrity === entry.integrity && have[path] !== undefined),
  );
}
