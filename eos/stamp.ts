import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AgentBundle } from './agent-bundle.ts';
import { ROOT } from './options.ts';
import type { SecureBootKeys } from './uefi/keys.ts';
import type { PinnedPackage } from './unpack.ts';

const NAME = '.inputs-sha256';

/** SHA-256 over everything that decides the bytes of the image. */
export function hashInputs(
  packages: readonly PinnedPackage[],
  agent: AgentBundle,
  keys: SecureBootKeys | null,
): string {
  const hash = createHash('sha256');
  const add = (name: string, bytes: Uint8Array | string): void => {
    const digest = createHash('sha256').update(bytes).digest('hex');
    hash.update(`${digest} ${name}\n`);
  };
  for (const entry of packages) add(entry.wish, entry.sha256);
  const sources = readdirSync(join(ROOT, 'eos'), { recursive: true, encoding: 'utf8' });
  for (const path of sources
    .filter((p) => !p.includes('node_modules') && /\.(ts|sh|cjs|json|c|h|asl|ld)$/.test(p))
    .sort()) {
    add(path, readFileSync(join(ROOT, 'eos', path)));
  }
  for (const path of ['package-lock.json', 'package.json']) add(path, readFileSync(join(ROOT, path)));
  add('agent', agent.script);
  add('addon', agent.addon);
  for (const [index, bytes] of (keys === null ? [] : [keys.pk, keys.kek, keys.db]).entries()) {
    add(`key ${index}`, bytes);
  }
  add('owner of the keys', keys?.owner ?? '');
  return hash.digest('hex');
}

/** True when `out` holds a complete build of these inputs. */
export function isUpToDate(out: string, inputs: string, files: readonly string[]): boolean {
  const stamp = join(out, NAME);
  return (
    existsSync(stamp) &&
    readFileSync(stamp, 'utf8') === inputs &&
    files.every((name) => existsSync(join(out, name)))
  );
}

export function writeStamp(out: string, inputs: string): void {
  writeFileSync(join(out, NAME), inputs);
}
