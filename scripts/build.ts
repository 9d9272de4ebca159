import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ADDON, bundleAgent } from '../eos/agent-bundle.ts';
import { VERSION } from '../src/version.ts';
import { bundleCli } from './cli-bundle.ts';
import { bundleLibrary, LIBRARY } from './library-bundle.ts';

/**
 * Bundles the three programs, and that of the manager's relay thread, into `dist/`, with the reference values of process mode beside them, and the verifier as a
 * library with its types.
 */
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const DIST = path.join(ROOT, 'dist');

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

const begin = performance.now();
await rm(DIST, { recursive: true, force: true });
await mkdir(DIST, { recursive: true });
// The types take longer than the bundles, so they are made beside them.
const types = promisify(execFile)(path.join(ROOT, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.library.json'], {
  cwd: ROOT,
});
const ENTRIES = {
  manager: 'src/manager/main.ts',
  relay: 'src/manager/relay/relay-main.ts',
  agent: 'src/agent/main.ts',
};
const programs = await Promise.all(
  Object.entries(ENTRIES).map(async ([role, entry]) => {
    const { script, addon } = await bundleAgent(entry);
    const file = path.join(DIST, `cocos-${role}.js`);
    await writeFile(file, script);
    await chmod(file, 0o755);
    return { role, script, addon };
  }),
);
const cli = await bundleCli();
await mkdir(path.join(DIST, 'cli'));
for (const { file, content } of cli) await writeFile(path.join(DIST, file), content);
await chmod(path.join(DIST, 'cocos-cli.js'), 0o755);
const agent = programs.find((program) => program.role === 'agent');
if (agent === undefined) throw new Error('the agent was not bundled');
await writeFile(path.join(DIST, ADDON), agent.addon);
const reference = {
  version: 1,
  name: `EOS ${VERSION} in process mode`,
  eosVersion: VERSION,
  process: { agent: sha256(agent.script), runtime: sha256(readFileSync(process.execPath)) },
};
await writeFile(path.join(DIST, 'reference-values.json'), `${JSON.stringify(reference, null, 2)}\n`);
for (const name of Object.keys(LIBRARY) as (keyof typeof LIBRARY)[]) {
  await writeFile(path.join(DIST, `${name}.js`), await bundleLibrary(name));
}
await types;
const sizes = [...programs.map(({ script }) => script.length), ...cli.map(({ content }) => content.length)];
const kilobytes = sizes.reduce((sum, size) => sum + size, 0) / 1000;
console.log(
  `build: ${programs.length + 1} programs and the library, ${kilobytes.toFixed(0)} kB in dist/ in ${((performance.now() - begin) / 1000).toFixed(1)} s`,
);
