import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureNodeModules, NPM_FOLDERS } from '../setup/node-modules.mjs';

/** Writes the API pages of the exported library to `build/api/`. A broken link or an unknown tag fails it. */
const folder = NPM_FOLDERS.apiDocs;
ensureNodeModules({ folder });
const typedoc = path.join(folder, 'node_modules/typedoc/bin/typedoc');
const { status } = spawnSync(process.execPath, [typedoc, '--options', 'typedoc.json'], {
  cwd: folder,
  stdio: 'inherit',
});
if (status === 0)
  console.log(`written to ${fileURLToPath(new URL('../build/api/index.html', import.meta.url))}`);
process.exitCode = status ?? 1;
