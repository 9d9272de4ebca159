import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Command, Option } from 'commander';
import { packDirectory } from '../../archive/pack.ts';
import { packZip } from '../../archive/zip.ts';
import { createDigest, type DigestName } from '../../crypto/digest.ts';
import { CocosError } from '../../errors.ts';
import type { CommandContext } from '../command-context.ts';

interface ChecksumOptions {
  readonly algorithm: DigestName;
  readonly folderAs: 'tar' | 'zip';
}

export function checksumCommand({ output }: CommandContext): Command {
  return new Command('checksum')
    .description('digest and size of a file, or of a folder as the tar that is sent')
    .argument('<path>')
    .addOption(
      new Option('--algorithm <name>', 'sha256 is what manifests hold, sha3-256 what the Go CocosAI uses')
        .choices(['sha256', 'sha3-256'])
        .default('sha256'),
    )
    .addOption(
      new Option('--folder-as <form>', 'how a folder is packed; zip is what the Go CocosAI sends')
        .choices(['tar', 'zip'])
        .default('tar'),
    )
    .action(async (path: string, options: ChecksumOptions) => {
      const info = await stat(path).catch((cause: unknown) => {
        throw new CocosError('FILE_NOT_FOUND', `There is no file ${path}.`, { cause });
      });
      const hash = createDigest(options.algorithm);
      const pack = options.folderAs === 'zip' ? packZip : packDirectory;
      const chunks: AsyncIterable<Uint8Array> = info.isDirectory() ? pack(path) : createReadStream(path);
      try {
        for await (const chunk of chunks) hash.update(chunk);
      } catch (cause) {
        throw CocosError.from(cause, 'FILE_UNREADABLE');
      }
      const { size } = hash;
      const digest = hash.finish();
      output.result(digest, { path, digest, size });
    });
}
