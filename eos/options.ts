import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));

export interface BuildOptions {
  /** Folder of the outputs. */
  readonly out: string;
  /** Entry script of the agent, relative to the repository. */
  readonly agent: string;
  /** Build although nothing changed. */
  readonly force: boolean;
}

/**
 * Options of the image builder: `--out DIR` (else COCOSAI_EOS_DIR, else `build/eos`), `--agent FILE`
 * (another entry script, for tests), `--force`.
 */
export function readOptions(args: readonly string[]): BuildOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      out: { type: 'string' },
      agent: { type: 'string' },
      force: { type: 'boolean', default: false },
    },
  });
  const agent = values.agent ?? 'src/agent/main.ts';
  if (!existsSync(join(ROOT, agent))) throw new Error(`there is no agent entry script ${agent}`);
  const out = values.out ?? process.env['COCOSAI_EOS_DIR'] ?? join(ROOT, 'build/eos');
  return { out: resolve(out), agent, force: values.force };
}
