import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Coverage of `src/` by the fast suite: a summary on the terminal, pages in `coverage/`. What only real programs reach
 * (main files, effects of a virtual machine) runs in processes of its own and is not counted.
 */
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const { status } = spawnSync(
  process.execPath,
  [
    path.join(ROOT, 'node_modules/vitest/vitest.mjs'),
    ...['run', '--project', 'fast', '--coverage', ...process.argv.slice(2)],
  ],
  { cwd: ROOT, stdio: 'inherit' },
);
process.exitCode = status ?? 1;
