import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { packDirectory } from '../../archive/pack.ts';
import { packZip } from '../../archive/zip.ts';
import { createDigest, type DigestName } from '../../crypto/digest.ts';
import { CocosError } from '../../errors.ts';
import type { CommandContext } from '../command-context.ts';
import { unreadable } from '../files.ts';

interface Options {
  readonly algorithm: DigestName;
  readonly folderAs: 'tar' | 'zip';
}

export async function run({ output }: CommandContext, options: Options, path: string): Promise<void> {
  const info = await stat(path).catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
  const hash = createDigest(options.algorithm);
  const pack = options.folderAs === 'zip' ? packZip : packDirectory;
  const chunks: AsyncIterable<Uint8Array> = info.isDirectory() ? pack(path) : createReadStream(path);
  try {
    for await (const chunk of chunks) hash.update(chunk);
  } catch (cause) {
    throw cause instanceof CocosError ? cause : unreadable(path, cause);
  }
  const { size } = hash;
  const digest = hash.finish();
  output.result(digest, { path, digest, size });
}
