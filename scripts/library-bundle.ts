import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** What the package exports, by the name below `dist/` and its entry. */
export const LIBRARY = {
  attestation: 'src/attestation/index.ts',
  'attestation-portable': 'src/crypto/portable-attestation-crypto.ts',
} as const;

/**
 * Bundles one export for browsers: an ES module with everything it needs inside. Anything of node's in it fails the
 * build.
 *
 * @param format `iife` puts the exports into the global `library`, for tests that run it in a bare realm.
 */
export async function bundleLibrary(
  name: keyof typeof LIBRARY,
  format: 'esm' | 'iife' = 'esm',
): Promise<Uint8Array> {
  const { outputFiles = [] } = await build({
    absWorkingDir: ROOT,
    entryPoints: [LIBRARY[name]],
    bundle: true,
    write: false,
    outfile: path.join('dist', `${name}.js`),
    platform: 'browser',
    format,
    ...(format === 'iife' ? { globalName: 'library' } : {}),
    target: 'es2022',
    minify: true,
    legalComments: 'none',
    logLevel: 'silent',
  });
  const [file] = outputFiles;
  if (file === undefined) throw new Error(`bundling ${name} gave no file`);
  return file.contents;
}
