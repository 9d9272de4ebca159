import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openPrivateApt } from '../../setup/private-apt.mjs';
import { cacheFolder, hasCommand, runCommand, SetupError } from '../../setup/run-command.mjs';

/**
 * A program that computes launch digests with the VirTEE project's Rust library `sev`, built of Debian's source
 * packages. Nothing of this project takes part in what it computes.
 */
const SOURCE = fileURLToPath(new URL('snp-digest/', import.meta.url));
const FILES = ['Cargo.toml', 'src/main.rs'];

/** The program, built when it is not in the cache yet; or why it cannot be had here. */
export function snpDigestTool(): { readonly program: string } | { readonly reason: string } {
  const hash = createHash('sha256');
  for (const file of FILES) hash.update(readFileSync(join(SOURCE, file)));
  const program = join(cacheFolder(), 'tools', `snp-digest-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(program)) return { program };
  const missing = ['cargo', 'dpkg-deb', 'pkg-config'].find((command) => !hasCommand(command));
  if (missing !== undefined) return { reason: `there is no ${missing}` };
  if (spawnSync('pkg-config', ['--exists', 'openssl']).status !== 0)
    return { reason: 'there is no libssl-dev' };
  const scratch = mkdtempSync(join(tmpdir(), 'cocos-sev-'));
  try {
    build(scratch, program);
    return { program };
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    return { reason: error.message };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function build(scratch: string, program: string): void {
  const at = (name: string): string => join(scratch, name);
  for (const folder of ['debs', 'crates', 'project/.cargo']) mkdirSync(at(folder), { recursive: true });
  const apt = openPrivateApt(join(cacheFolder(), 'apt', 'unstable'), { suites: ['sid'], security: [] });
  apt.update();
  const crates = apt.needs('librust-sev-dev').filter((name) => name.startsWith('librust-'));
  for (const file of apt.downloadAll(crates, at('debs'))) runCommand('dpkg-deb', ['-x', file, at('crates')]);
  cpSync(SOURCE, at('project'), { recursive: true });
  const registry = JSON.stringify(at('crates/usr/share/cargo/registry'));
  writeFileSync(
    at('project/.cargo/config.toml'),
    `[source.crates-io]\nreplace-with = "debian"\n[source.debian]\ndirectory = ${registry}\n`,
  );
  runCommand('cargo', ['build', '--release', '--offline', '--quiet'], {
    cwd: at('project'),
    env: { CARGO_HOME: at('cargo-home'), CARGO_TARGET_DIR: at('target') },
    what: 'build of the independent digest tool',
  });
  mkdirSync(join(program, '..'), { recursive: true });
  copyFileSync(at('target/release/snp-digest'), program);
}
