import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type FakeCommands, fakeCommands } from './fake-commands.ts';

const CALL = `
import { ensurePinnedPackages } from './setup/pinned-packages.mjs';
try {
  const { packages, fetched, substituted } = ensurePinnedPackages({ uses: ['host', 'tool'] });
  const names = packages.map((p) => p.name);
  const instead = packages.map((p) => p.substitutes);
  console.log(JSON.stringify({ fetched, substituted, names, instead }));
} catch (error) { console.log(error.name, error.message); process.exitCode = 1; }
`;
const MIRROR = { COCOSAI_DEBIAN_MIRROR: 'http://mirror.invalid/debian' };
const ALLOWED = { ...MIRROR, COCOSAI_SUBSTITUTE_PACKAGES: 'allow' };
const { packages: locked } = JSON.parse(readFileSync('eos/packages.lock.json', 'utf8'));
const { packages } = JSON.parse(readFileSync('eos/packages.json', 'utf8'));
const wanted: string[] = packages
  .filter((entry: { use: string }) => entry.use === 'host' || entry.use === 'tool')
  .map((entry: { name: string }) => entry.name);

/** An archive whose every package is `fake NAME`, with its true SHA-256, in one version. */
const show = (version: string): string => `
for name in "$@"; do :; done
sum=$(printf 'fake %s' "$name" | sha256sum | cut -d' ' -f1)
printf 'Package: %s\\nVersion: ${version}\\nSize: 1\\nSHA256: %s\\n\\n' "$name" "$sum"`;
const DOWNLOAD = `
for last in "$@"; do :; done
case "$*" in
  *indextargets*) ;;
  *download*) name=\${last%%=*}; printf 'fake %s' "$name" >"$name.deb" ;;
esac`;

describe('ensurePinnedPackages', () => {
  let fakes: FakeCommands;
  beforeEach(() => {
    fakes = fakeCommands();
    fakes.add('apt-get', DOWNLOAD);
    fakes.add('apt-cache', show('99:1'));
  });
  afterEach(() => rmSync(fakes.folder, { recursive: true }));

  it('refuses an archive that withholds the pinned version, and says what to do', () => {
    const { status, output } = fakes.run(CALL, MIRROR);
    expect(status).toBe(1);
    expect(output).toMatch(/SetupError .* does not offer .* pins.*COCOSAI_SUBSTITUTE_PACKAGES=allow/);
    expect(fakes.calls().some((call) => / download( |$)/.test(call))).toBe(false);
  });

  it('uses the newest version if that is allowed, names what it stands for, and is offline afterwards', () => {
    const first = fakes.run(CALL, ALLOWED);
    expect(first.status, first.output).toBe(0);
    for (const name of wanted) expect(first.output).toMatch(new RegExp(`NOTICE: ${name} \\S+ is gone.*99:1`));
    for (const name of wanted) {
      const { version } = locked.find((entry: { name: string }) => entry.name === name);
      expect(first.output).toContain(`"${name} ${version}"`);
    }
    expect(first.output).toContain('measurements will differ');
    fakes.add('apt-get', 'exit 100');
    fakes.add('apt-cache', 'exit 100');
    const second = fakes.run(CALL, ALLOWED);
    expect(second.status, second.output).toBe(0);
    expect(second.output).toContain(`"fetched":0,"substituted":${wanted.length}`);
  });

  it('does not use substitutes of an earlier run once they are not allowed', () => {
    expect(fakes.run(CALL, ALLOWED).status).toBe(0);
    const { status, output } = fakes.run(CALL, MIRROR);
    expect(status).toBe(1);
    expect(output).toContain('SetupError');
  });

  it('never goes below the locked version, although an older one is above the minimum', () => {
    const floors = packages.map(
      ({ name, floor }: { name: string; floor: string }) => `${name}) v='${floor}' ;;`,
    );
    const floor = show('%s').replace('"$name" "$sum"', '"$name" "$v" "$sum"');
    fakes.add(
      'apt-cache',
      `for name in "$@"; do :; done\ncase "$name" in\n${floors.join('\n')}\nesac\n${floor}`,
    );
    const { status, output } = fakes.run(CALL, ALLOWED);
    expect(status).toBe(1);
    expect(output).toMatch(/SetupError No version of \S+ from \S+ on/);
    expect(fakes.calls().some((call) => / download( |$)/.test(call))).toBe(false);
  });

  it('follows the meta package to a kernel with another name', () => {
    const known = show('99:1').replace(
      "'Package: %s",
      "'Depends: linux-base (= 1), linux-image-9.1-cloud-amd64 (= 99:1)\\nPackage: %s",
    );
    fakes.add(
      'apt-cache',
      `case "$*" in *linux-image-6*) echo "E: No packages found" >&2; exit 100;; esac\n${known}`,
    );
    const { status, output } = fakes.run(CALL.replace("['host', 'tool']", "['kernel']"), ALLOWED);
    expect(status, output).toBe(0);
    expect(output).toContain('"names":["linux-image-9.1-cloud-amd64"]');
  });

  it('fails if all available versions are below the minimum', () => {
    fakes.add('apt-cache', show('0.0.1'));
    const { status, output } = fakes.run(CALL, ALLOWED);
    expect(status).toBe(1);
    expect(output).toMatch(/SetupError No version of \S+ from \S+ on/);
  });

  it('refuses a file that does not match the signed lists', () => {
    fakes.add('apt-get', DOWNLOAD.replace("'fake %s'", "'other %s'"));
    const { status, output } = fakes.run(CALL, ALLOWED);
    expect(status).toBe(1);
    expect(output).toMatch(/SetupError .* has SHA-256/);
  });

  it('refuses a file under the pinned version that is not the pinned one, whatever the lists say', () => {
    const versions = locked.map(
      ({ name, version }: { name: string; version: string }) => `${name}) v='${version}' ;;`,
    );
    const offered = show('%s').replace('"$name" "$sum"', '"$name" "$v" "$sum"');
    fakes.add(
      'apt-cache',
      `for name in "$@"; do :; done\ncase "$name" in\n${versions.join('\n')}\nesac\n${offered}`,
    );
    for (const settings of [MIRROR, ALLOWED]) {
      const { status, output } = fakes.run(CALL, settings);
      expect(status).toBe(1);
      expect(output).toMatch(/SetupError .* has SHA-256 .* pinned is/);
    }
  });

  it('fetches a damaged file of the cache again', () => {
    fakes.run(CALL, ALLOWED);
    const debs = join(fakes.folder, 'cache/debs');
    const [victim] = readdirSync(debs);
    writeFileSync(join(debs, victim ?? ''), 'damaged');
    const again = fakes.run(CALL, ALLOWED);
    expect(again.output).toContain('"fetched":1');
    expect(readFileSync(join(debs, victim ?? ''), 'utf8')).toMatch(/^fake /);
  });

  it("never reads or writes the host's own apt sources, lists or caches", () => {
    fakes.run(CALL, ALLOWED);
    const calls = fakes.calls().filter((call) => / (update|show|download)( |$)/.test(call));
    expect(calls.length).toBeGreaterThan(0);
    for (const call of calls) {
      for (const option of ['Dir::State::Lists', 'Dir::Etc::SourceList', 'Dir::Cache']) {
        expect(call).toContain(`-o ${option}=${fakes.folder}/cache/apt/`);
      }
      expect(call).toContain('-o Dir::Etc::SourceParts=/dev/null');
    }
  });
});
