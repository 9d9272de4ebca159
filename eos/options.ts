import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** Entry script of the agent. */
export const AGENT = 'src/agent/main.ts';

export interface BuildOptions {
  /** Folder of the outputs. */
  readonly out: string;
  /** Entry script of the agent, relative to the repository. */
  readonly agent: string;
  /** Folder of Secure Boot keys; null leaves the kernel image unsigned and Secure Boot off. */
  readonly secureBoot: string | null;
  /** Folder of an unsigned image of the same inputs, whose root image is taken; null makes one. */
  readonly unsigned: string | null;
  /** Build although nothing changed. */
  readonly force: boolean;
}

/**
 * Options of the image builder: `--out DIR` (else COCOSAI_EOS_DIR, else `build/eos`), `--agent FILE`
 * (another entry script, for tests), `--secure-boot DIR` (keys, made there when it has none), `--unsigned DIR` (signs that
 * image), `--force`.
 */
export function readOptions(args: readonly string[]): BuildOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      out: { type: 'string' },
      agent: { type: 'string' },
      'secure-boot': { type: 'string' },
      unsigned: { type: 'string' },
      force: { type: 'boolean', default: false },
    },
  });
  const agent = values.agent ?? AGENT;
  if (!existsSync(join(ROOT, agent))) throw new Error(`there is no agent entry script ${agent}`);
  const out = values.out ?? process.env['COCOSAI_EOS_DIR'] ?? join(ROOT, 'build/eos');
  const keys = values['secure-boot'];
  const secureBoot = keys === undefined ? null : resolve(keys);
  const unsigned = values.unsigned === undefined ? null : resolve(values.unsigned);
  return { out: resolve(out), agent, secureBoot, unsigned, force: values.force };
}
