import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** File name of the vsock addon, in the guest beside the bundle. */
export const ADDON = 'node-vsock.linux-x64-gnu.node';

const ADDON_PACKAGE = 'node-vsock-linux-x64-gnu';
const PACKAGE = /^node_modules\/((?:@[^/]+\/)?[^/]+)\//;

/** What differs between a bundle for this host's node and one for a guest. */
const FORMS = {
  module: {
    format: 'esm',
    minify: false,
    // CommonJS packages in an ES module need a require of their own.
    banner: {
      js: "import { createRequire as cocosCreateRequire } from 'node:module'; const require = cocosCreateRequire(import.meta.url);",
    },
    footer: {},
    define: {},
  },
  script: {
    format: 'cjs',
    minify: true,
    banner: { js: '(function(require,cocosUrl){' },
    footer: { js: '})' },
    define: { 'import.meta.url': 'cocosUrl' },
  },
} as const;

export interface AgentBundle {
  /** One file with everything it imports except node's own modules and the addon. */
  readonly script: Uint8Array;
  readonly addon: Uint8Array;
  /** Folders below `node_modules/` of which the bundle holds code, and that of the addon. */
  readonly packages: readonly string[];
}

/**
 * Bundles an entry script for the guest's node. The result depends on the sources and the locked bundler
 * alone: paths in it are relative to the repository.
 *
 * @param entry path of a TypeScript file, relative to the repository
 * @param options.plugins for tests that put a part of their own in place of another
 * @param options.form an ES module, or the small script that a guest starts: a function of `require` and of its own URL
 */
export async function bundleAgent(
  entry: string,
  { plugins = [], form = 'module' }: { plugins?: readonly Plugin[]; form?: keyof typeof FORMS } = {},
): Promise<AgentBundle> {
  const result = await build({
    absWorkingDir: ROOT,
    entryPoints: [entry],
    bundle: true,
    write: false,
    plugins: [...plugins],
    metafile: true,
    outfile: 'agent.js',
    platform: 'node',
    ...FORMS[form],
    target: 'node20',
    legalComments: 'none',
    logLevel: 'silent',
    // An optional native speed-up of msgpackr, which does without; and the manager's store, a native addon.
    external: ['msgpackr-extract', 'lmdb'],
  });
  const [file] = result.outputFiles;
  if (file === undefined) throw new Error(`bundling ${entry} gave no file`);
  const addonPath = createRequire(import.meta.url).resolve(ADDON_PACKAGE);
  const inputs = Object.keys(result.metafile.inputs);
  const packages = inputs.flatMap((path) => PACKAGE.exec(path)?.[1] ?? []);
  return {
    script: file.contents,
    addon: readFileSync(addonPath),
    packages: [...new Set([...packages, ADDON_PACKAGE])].sort(),
  };
}
