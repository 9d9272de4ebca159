import { fileURLToPath } from 'node:url';
import { ensureHostPackages } from './host-packages.mjs';
import { ensureNodeModules, NPM_FOLDERS } from './node-modules.mjs';
import { ensurePinnedPackages } from './pinned-packages.mjs';
import { SetupError } from './run-command.mjs';

export { SetupError };

/**
 * Brings the machine to the state that a script needs. Offline and near instant when it is there already.
 *
 * @param {{hostPackages?: 'demo' | 'test' | 'process', modules?: boolean, pinned?: boolean, log?: (line: string) => void}} wants
 * @throws {SetupError} with a sentence for a person
 */
export function ensure({ hostPackages, modules = false, pinned = false, log = console.log }) {
  const begin = performance.now();
  const parts = [];
  if (hostPackages !== undefined) {
    const { installed, present } = ensureHostPackages({ need: hostPackages, log });
    parts.push(`${present} host packages (${installed.length} installed now)`);
  }
  if (modules) {
    const { installed } = ensureNodeModules({ folder: NPM_FOLDERS.project, log });
    parts.push(`npm packages (${installed ? 'installed now' : 'present'})`);
  }
  if (pinned) {
    const { packages, fetched } = ensurePinnedPackages({ log });
    const { installed } = ensureNodeModules({ folder: NPM_FOLDERS.guestNode, log });
    parts.push(`${packages.length} pinned packages (${fetched} fetched now)`);
    parts.push(`the guest's Node.js (${installed ? 'installed now' : 'present'})`);
  }
  log(`setup: ${parts.join(', ')} in ${((performance.now() - begin) / 1000).toFixed(1)} s`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    ensure({ hostPackages: 'demo', modules: true, pinned: true });
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`error: ${error.message}`);
    process.exitCode = 1;
  }
}
