import { CocosError } from '../errors.ts';
import { Manifest } from '../machines/manifest.ts';
import { schemaProblems } from '../schema-problems.ts';
import { jsonIn, readInput } from './files.ts';

/** @throws CocosError FILE_NOT_FOUND, FILE_UNREADABLE; MANIFEST_INVALID naming the file and the field. */
export async function readManifest(file: string): Promise<Manifest> {
  const bytes = await readInput(file);
  let json: unknown;
  try {
    json = jsonIn(file, bytes);
  } catch (cause) {
    throw new CocosError('MANIFEST_INVALID', CocosError.from(cause).message, { cause });
  }
  return parseManifest(json, `The manifest ${file}`);
}

/** @param what names the manifest in the error. @throws CocosError MANIFEST_INVALID naming the field. */
export function parseManifest(json: unknown, what: string): Manifest {
  const parsed = Manifest.safeParse(json);
  if (parsed.success) return parsed.data;
  const problems = schemaProblems(parsed.error, json).join('; ');
  throw new CocosError('MANIFEST_INVALID', `${what} is invalid at ${problems}.`);
}
