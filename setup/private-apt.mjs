import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runCommand, SetupError } from './run-command.mjs';

const KEYRINGS = [
  '/usr/share/keyrings/debian-archive-keyring.gpg',
  '/usr/share/keyrings/debian-archive-keyring.pgp',
];

/**
 * Debian mirrors that this host already uses, so that no mirror has a name here.
 *
 * COCOSAI_DEBIAN_MIRROR and COCOSAI_DEBIAN_SECURITY_MIRROR override what apt says.
 * @returns {{main: string, security: string | undefined}} archive roots
 * @throws {SetupError} when apt knows no Debian archive
 */
function debianMirrors() {
  // Origin and label are known only once the host's lists were fetched; the path is the fallback.
  const format = '$(REPO_URI)|$(ORIGIN)|$(LABEL)';
  const targets = runCommand('apt-get', ['indextargets', '--format', format, 'Created-By: Packages'])
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('|'));
  const find = (label, path) =>
    targets.find(([, origin, name]) => origin === 'Debian' && name === label)?.[0] ??
    targets.find(([uri]) => uri?.replace(/\/$/, '').endsWith(path))?.[0];
  const main = process.env.COCOSAI_DEBIAN_MIRROR ?? find('Debian', '/debian');
  const security = process.env.COCOSAI_DEBIAN_SECURITY_MIRROR ?? find('Debian-Security', '/debian-security');
  if (main === undefined) {
    throw new SetupError(
      'apt of this host knows no Debian archive: set COCOSAI_DEBIAN_MIRROR (and COCOSAI_DEBIAN_SECURITY_MIRROR)',
    );
  }
  return { main, security };
}

/**
 * An apt of our own for one group of suites: its lists, sources and caches are below `folder`, nothing of
 * the host's package state is read or changed, and signatures are checked against the Debian keyring.
 *
 * @param {string} folder where lists and caches are kept
 * @param {{suites: string[], security: string[]}} group suites to read
 */
export function openPrivateApt(folder, group) {
  const keyring = KEYRINGS.find((path) => existsSync(path));
  if (keyring === undefined) {
    throw new SetupError(`No Debian keyring (${KEYRINGS.join(' or ')}): install debian-archive-keyring`);
  }
  const mirrors = debianMirrors();
  const line = (mirror, suite) => `deb [arch=amd64 signed-by=${keyring}] ${mirror} ${suite} main\n`;
  const security = mirrors.security === undefined ? [] : group.security.map((s) => line(mirrors.security, s));
  for (const part of ['lists/partial', 'cache/archives/partial'])
    mkdirSync(join(folder, part), { recursive: true });
  writeFileSync(
    join(folder, 'sources.list'),
    [...group.suites.map((s) => line(mirrors.main, s)), ...security].join(''),
  );
  const options = [
    ['Dir::State::Lists', join(folder, 'lists')],
    ['Dir::State::status', '/dev/null'],
    ['Dir::Etc::SourceList', join(folder, 'sources.list')],
    ['Dir::Etc::SourceParts', '/dev/null'],
    ['Dir::Etc::Preferences', '/dev/null'],
    ['Dir::Etc::PreferencesParts', '/dev/null'],
    ['Dir::Cache', join(folder, 'cache')],
    // Container images switch these off, and then each apt command parses all lists anew.
    ['Dir::Cache::pkgcache', 'pkgcache.bin'],
    ['Dir::Cache::srcpkgcache', 'srcpkgcache.bin'],
    ['APT::Architecture', 'amd64'],
    ['APT::Architectures', 'amd64'],
    // The folder may be below a home that apt's download user cannot enter.
    ['APT::Sandbox::User', ''],
    ['Acquire::Languages', 'none'],
    ['Acquire::Retries', '3'],
  ].flatMap(([name, value]) => ['-o', `${name}=${value}`]);

  return {
    /** Fetches the suites' lists; fails when one of them fails. */
    update() {
      runCommand('apt-get', [...options, '-q', '-o', 'APT::Update::Error-Mode=any', 'update'], {
        what: `apt-get update of ${[...group.suites, ...group.security].join(', ')}`,
      });
    },
    /**
     * Versions of a package in the lists.
     * @returns {{name: string, version: string, sha256: string, size: number, depends: string}[]}
     */
    versions(name) {
      return showPackage(options, name)
        .split('\n\n')
        .filter((stanza) => stanza.trim() !== '')
        .map(parseStanza);
    },
    /** Downloads one version to `target`; apt checks it against the signed lists. */
    download(name, version, target) {
      const scratch = mkdtempSync(join(folder, 'download-'));
      try {
        runCommand('apt-get', [...options, '-q', 'download', `${name}=${version}`], {
          cwd: scratch,
          what: `download of ${name} ${version}`,
        });
        const file = readdirSync(scratch).find((entry) => entry.endsWith('.deb'));
        if (file === undefined) throw new SetupError(`apt-get download of ${name} left no file`);
        renameSync(join(scratch, file), target);
      } finally {
        rmSync(scratch, { recursive: true, force: true });
      }
    },
    /** Names of a package and of all that it needs, whatever this host has. */
    needs(name) {
      const plan = runCommand('apt-get', [...options, '-s', '--no-install-recommends', 'install', name], {
        what: `dependencies of ${name}`,
      });
      return [...plan.matchAll(/^Inst (\S+) /gm)].map((match) => match[1]);
    },
    /**
     * Downloads the newest version of each package into a folder; apt checks them against the signed lists.
     * @returns {string[]} paths of the files
     */
    downloadAll(names, target) {
      runCommand('apt-get', [...options, '-q', 'download', ...names], {
        cwd: target,
        what: `download of ${names.length} packages`,
      });
      return readdirSync(target)
        .filter((entry) => entry.endsWith('.deb'))
        .map((entry) => join(target, entry));
    },
  };
}

/** Stanzas of a package; none when the lists do not know its name, as that of a kernel that was replaced. */
function showPackage(options, name) {
  try {
    return runCommand('apt-cache', [...options, 'show', '--all-versions', name], {
      what: `apt-cache show ${name}`,
    });
  } catch (error) {
    if (error instanceof SetupError && error.message.includes('No packages found')) return '';
    throw error;
  }
}

function parseStanza(stanza) {
  const field = (key) => new RegExp(`^${key}: (.*)$`, 'm').exec(stanza)?.[1] ?? '';
  return {
    name: field('Package'),
    version: field('Version'),
    sha256: field('SHA256'),
    size: Number(field('Size')),
    depends: field('Depends'),
  };
}
