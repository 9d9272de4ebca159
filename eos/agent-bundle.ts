import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** File name of the vsock addon, in the guest beside the bundle. */
export const ADDON = 'node-vsock.linux-x64-gnu.node';

export interface AgentBundle {
  /** One ES module with everything it imports except node's own modules and the addon. */
  readonly script: Uint8Array;
  readonly addon: Uint8Array;
}

/**
 * Bundles an entry script for the guest's node. The result depends on the sources and the locked bundler
 * alone: paths in it are relative to the repository.
 *
 * @param entry path of a TypeScript file, relative to the repository
 * @param plugins for tests that put a part of their own in place of another
 */
export async function bundleAgent(entry: string, plugins: readonly Plugin[] = []): Promise<AgentBundle> {
  const result = await build({
    absWorkingDir: ROOT,
    entryPoints: [entry],
    bundle: true,
    write: false,
    plugins: [...plugins],
    outfile: 'agent.mjs',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    legalComments: 'none',
    logLevel: 'silent',
    // An optional native speed-up of msgpackr, which does without; and the manager's store, a native addon.
    external: ['msgpackr-extract', 'lmdb'],
    // CommonJS packages in an ES module need a require of their own.
    banner: {
      js: "import { createRequire as cocosCreateRequire } from 'node:module'; const require = cocosCreateRequire(import.meta.url);",
    },
  });
  const [file] = result.outputFiles;
  if (file === undefined) throw new Error(`bundling ${entry} gave no file`);
  const addonPath = createRequire(import.meta.url).resolve('node-vsock-linux-x64-gnu');
  return { script: file.contents, addon: readFileSync(addonPath) };
}
