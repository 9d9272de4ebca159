import { CocosError } from '../errors.ts';
import { Manifest } from '../machines/manifest.ts';
import { readJson } from './files.ts';

/** @throws CocosError FILE_NOT_FOUND; MANIFEST_INVALID naming the file and the field. */
export async function readManifest(file: string): Promise<Manifest> {
  const json = await readJson(file).catch((thrown: unknown) => {
    const error = CocosError.from(thrown);
    throw error.code === 'FILE_UNREADABLE'
      ? new CocosError('MANIFEST_INVALID', error.message, { cause: error })
      : error;
  });
  return parseManifest(json, `The manifest ${file}`);
}

/** @param what names the manifest in the error. @throws CocosError MANIFEST_INVALID naming the field. */
export function parseManifest(json: unknown, what: string): Manifest {
  const parsed = Manifest.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const field = issue?.path.join('.') || 'the document';
  throw new CocosError('MANIFEST_INVALID', `${what} is invalid at '${field}': ${issue?.message}.`);
}
