import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { hasCommand, runCommand, SetupError } from './run-command.mjs';

const LIST = new URL('./packages.json', import.meta.url);

/** Packages of `packages.json` that the purpose `need` asks for. */
function wanted(need) {
  const { packages } = JSON.parse(readFileSync(LIST, 'utf8'));
  return packages.filter((entry) => entry.needs.includes(need));
}

function isInstalled(name) {
  const result = spawnSync('dpkg-query', ['-s', name], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
  });
  return result.status === 0 && /^Status: .* ok installed$/m.test(result.stdout);
}

/**
 * Installs the Debian packages of the host that are missing. Touches neither network nor disk when none is.
 *
 * @param {{need: 'demo' | 'test' | 'process', log?: (line: string) => void}} options what the packages are for
 * @returns {{installed: string[], present: number}}
 * @throws {SetupError} with the command to run when it may not install, or when apt fails
 */
export function ensureHostPackages({ need, log = console.log }) {
  if (!hasCommand('dpkg-query') || !hasCommand('apt-get')) {
    throw new SetupError(
      `This host has no apt. Install by other means: ${wanted(need)
        .map((entry) => `${entry.name} (${entry.why})`)
        .join(', ')}`,
    );
  }
  const all = wanted(need);
  const missing = all.filter((entry) => !isInstalled(entry.name));
  if (missing.length === 0) return { installed: [], present: all.length };
  for (const entry of missing) log(`host: installing ${entry.name}: ${entry.why}`);
  const names = missing.map((entry) => entry.name);
  const prefix = rootPrefix(names);
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const [file, ...before] = [...prefix, 'apt-get'];
  runCommand(file, [...before, '-q', 'update'], { env, what: 'apt-get update' });
  const install = ['-q', '-y', '--no-install-recommends', 'install', ...names];
  runCommand(file, [...before, ...install], { env, what: 'apt-get install' });
  const still = names.filter((name) => !isInstalled(name));
  if (still.length > 0)
    throw new SetupError(`apt-get reported success, yet not installed: ${still.join(', ')}`);
  return { installed: names, present: all.length };
}

/** What stands before apt-get: nothing for root, sudo when it asks for no password. */
function rootPrefix(names) {
  if (process.getuid?.() === 0) return [];
  if (spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0) {
    return ['sudo', '-n', '--preserve-env=DEBIAN_FRONTEND'];
  }
  throw new SetupError(
    `Packages are missing and installing them needs root. Run:\n  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${names.join(' ')}`,
  );
}
