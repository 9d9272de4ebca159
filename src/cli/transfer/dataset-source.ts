import { stat } from 'node:fs/promises';
import type { DigestName } from '../../crypto/digest.ts';
import { CocosError } from '../../errors.ts';
import type { Manifest } from '../../machines/manifest.ts';
import { unreadable } from '../files.ts';
import { type UploadSource, uploadSource } from './upload-source.ts';

export type DatasetKind = Manifest['datasets'][number]['kind'];

/** What a path would be as a dataset. @throws CocosError FILE_NOT_FOUND, FILE_UNREADABLE */
export async function datasetKindOf(path: string): Promise<DatasetKind> {
  const info = await stat(path).catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
  return info.isDirectory() ? 'directory' : undefined;
}

/**
 * The bytes of a dataset: of the file, or of the deterministic tar of the directory.
 *
 * @throws CocosError INPUT_INVALID if the manifest names the other of the two; else as `uploadSource`
 */
export async function datasetSource(
  path: string,
  { name, kind, hash }: { readonly name: string; readonly kind: DatasetKind; readonly hash: DigestName },
): Promise<UploadSource> {
  const found = await datasetKindOf(path);
  if (found !== kind) {
    const shown = (each: DatasetKind) => (each === undefined ? 'a file' : 'a directory');
    throw new CocosError(
      'INPUT_INVALID',
      `The dataset '${name}' is ${shown(kind)} in the manifest, and ${path} is ${shown(found)}. Send ${shown(kind)}, or agree on a manifest that is made from ${path}.`,
    );
  }
  return uploadSource(path, hash);
}
