import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openPrivateApt } from './private-apt.mjs';
import { cacheFolder, SetupError } from './run-command.mjs';

const WISHES = new URL('../eos/packages.json', import.meta.url);
const LOCK = new URL('../eos/packages.lock.json', import.meta.url);

const readJson = (url) => JSON.parse(readFileSync(url, 'utf8'));
const sha256File = (path) => createHash('sha256').update(readFileSync(path)).digest('hex');
const isAtLeast = (version, floor) =>
  spawnSync('dpkg', ['--compare-versions', version, 'ge', floor]).status === 0;
const debPath = (entry) =>
  join(
    cacheFolder(),
    'debs',
    `${entry.name}_${entry.version.replaceAll(':', '%3a')}_${entry.sha256.slice(0, 16)}.deb`,
  );

/** One apt for each group, its lists fetched at most once in a run and only when asked for. */
function aptByGroup(groups) {
  const open = new Map();
  return (name) => {
    let apt = open.get(name);
    if (apt === undefined) {
      apt = openPrivateApt(join(cacheFolder(), 'apt', name), groups[name]);
      apt.update();
      open.set(name, apt);
    }
    return apt;
  };
}

/** Whoever sets it to `allow` takes newer packages for pinned ones that the archive no longer has. */
const SUBSTITUTES = 'COCOSAI_SUBSTITUTE_PACKAGES';

/**
 * Newest version of a wish at or above a floor. A wish with `resolve` names a meta package, whose own floor holds for
 * it: what it depends on under that pattern is meant, since the kernel's package name holds its version.
 */
function newest(apt, wish, lowest = wish.floor) {
  const best = (list, floor) =>
    list
      .filter((v) => isAtLeast(v.version, floor))
      .sort((a, b) => (isAtLeast(a.version, b.version) ? -1 : 1))[0];
  const floor = wish.resolve === undefined ? lowest : wish.floor;
  const found = best(apt.versions(wish.name), floor);
  if (found === undefined) throw new SetupError(`No version of ${wish.name} from ${floor} on is to be had`);
  if (wish.resolve === undefined) return found;
  const pattern = new RegExp(wish.resolve);
  const real = found.depends
    .split(/[,|]\s*/)
    .map((text) => text.trim().split(' ')[0])
    .find((n) => pattern.test(n));
  if (real === undefined)
    throw new SetupError(`${wish.name} ${found.version} depends on nothing like ${wish.resolve}`);
  const resolved = best(apt.versions(real), lowest);
  if (resolved === undefined) throw new SetupError(`No version of ${real} from ${lowest} on is to be had`);
  return resolved;
}

/** True when the cached file is the one that was pinned; a damaged one is removed. */
function isCached(entry) {
  const path = debPath(entry);
  if (!existsSync(path)) return false;
  if (sha256File(path) === entry.sha256) return true;
  rmSync(path);
  return false;
}

function fetch(apt, entry) {
  const path = debPath(entry);
  mkdirSync(join(cacheFolder(), 'debs'), { recursive: true });
  const part = `${path}.${process.pid}`;
  apt.download(entry.name, entry.version, part);
  const got = sha256File(part);
  if (got !== entry.sha256) {
    rmSync(part);
    throw new SetupError(`${entry.name} ${entry.version} has SHA-256 ${got}, pinned is ${entry.sha256}`);
  }
  renameSync(part, path);
}

/**
 * Makes every package of `eos/packages.lock.json` available in the cache; offline when all are there.
 *
 * A pinned version that the mirrors no longer carry is an error, since a mirror may withhold it. With
 * COCOSAI_SUBSTITUTE_PACKAGES=allow, the newest version takes its place if it is not older, and is remembered, so that
 * later runs are offline again; the image then differs from the locked one, and its reference values say so.
 *
 * @param {{log?: (line: string) => void, uses?: string[]}} [options] `uses`: only these of kernel, firmware, guest, tool, host
 * @returns {{packages: {name: string, wish: string, version: string, sha256: string, use: string, licences: string[], path: string, substitutes: string | null}[], fetched: number, substituted: number}}
 * @throws {SetupError} when a package cannot be had or does not match its SHA-256
 */
export function ensurePinnedPackages({ log = console.log, uses } = {}) {
  const { groups, packages: wishes } = readJson(WISHES);
  const locked = new Map(readJson(LOCK).packages.map((entry) => [entry.wish, entry]));
  const substitutesPath = join(cacheFolder(), 'substitutes.json');
  const mayDiffer = process.env[SUBSTITUTES] === 'allow';
  const substitutes = mayDiffer && existsSync(substitutesPath) ? readJson(substitutesPath) : {};
  const aptOf = aptByGroup(groups);
  let fetched = 0;
  const packages = wishes
    .filter((wish) => uses === undefined || uses.includes(wish.use))
    .map((wish) => {
      const pinned = locked.get(wish.name);
      if (pinned === undefined)
        throw new SetupError(`${wish.name} is not locked: run this script with --refresh`);
      const done = (entry) => ({
        ...entry,
        use: wish.use,
        licences: wish.licences ?? [],
        path: debPath(entry),
        substitutes: entry === pinned ? null : `${pinned.name} ${pinned.version}`,
      });
      if (isCached(pinned)) return done(pinned);
      const substitute = substitutes[pinned.sha256];
      if (substitute !== undefined && isAtLeast(substitute.version, pinned.version) && isCached(substitute))
        return done(substitute);
      const apt = aptOf(wish.group);
      fetched += 1;
      // apt finds a version by its lists, so a version that is gone shows there and not as a failed download.
      if (apt.versions(pinned.name).some((v) => v.version === pinned.version)) {
        fetch(apt, pinned);
        return done(pinned);
      }
      if (!mayDiffer) {
        throw new SetupError(
          `The archive does not offer ${pinned.name} ${pinned.version}, which eos/packages.lock.json pins. Use a mirror that has it (COCOSAI_DEBIAN_MIRROR, COCOSAI_DEBIAN_SECURITY_MIRROR), or set ${SUBSTITUTES}=allow to take a newer version: measurements then differ from the published ones.`,
        );
      }
      const entry = lockEntry(wish, newest(apt, wish, pinned.version));
      log(
        `NOTICE: ${pinned.name} ${pinned.version} is gone from the archive: taking ${entry.name} ${entry.version}.`,
      );
      fetch(apt, entry);
      substitutes[pinned.sha256] = entry;
      writeFileSync(substitutesPath, `${JSON.stringify(substitutes, null, 2)}\n`);
      return done(entry);
    });
  const substituted = packages.filter((entry) => entry.substitutes !== null).length;
  if (substituted > 0) {
    log(
      `NOTICE: ${substituted} package(s) differ from eos/packages.lock.json; measurements will differ from the published ones.`,
    );
  }
  return { packages, fetched, substituted };
}

const lockEntry = (wish, found) => ({
  wish: wish.name,
  name: found.name,
  version: found.version,
  sha256: found.sha256,
  size: found.size,
});

/**
 * Writes `eos/packages.lock.json` with the newest version of every package.
 *
 * @param {{log?: (line: string) => void, keep?: boolean}} [options] `keep`: packages that are locked stay as they are
 */
function refreshLock({ log = console.log, keep = false } = {}) {
  const { groups, packages: wishes } = readJson(WISHES);
  const aptOf = aptByGroup(groups);
  const locked = new Map(keep ? readJson(LOCK).packages.map((entry) => [entry.wish, entry]) : []);
  const packages = wishes.map(
    (wish) => locked.get(wish.name) ?? lockEntry(wish, newest(aptOf(wish.group), wish)),
  );
  writeFileSync(LOCK, `${JSON.stringify({ version: 1, packages }, null, 2)}\n`);
  log(`eos/packages.lock.json: ${packages.length} packages locked`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    if (process.argv.includes('--refresh')) refreshLock();
    if (process.argv.includes('--add')) refreshLock({ keep: true });
    const { packages, fetched, substituted } = ensurePinnedPackages();
    console.log(`pinned: ${packages.length} packages ready, ${fetched} fetched, ${substituted} substituted`);
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(`error: ${error.message}`);
    process.exitCode = 1;
  }
}
