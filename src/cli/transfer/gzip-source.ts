import { Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import { ByteReader } from '../../crypto/byte-reader.ts';
import { createDigest, type DigestName } from '../../crypto/digest.ts';
import { CocosError } from '../../errors.ts';
import type { UploadSource } from './upload-source.ts';

const PIECE_BYTES = 256 * 1024;
/** The fastest level: higher ones save little, and are slower than most networks. */
const LEVEL = 1;

/**
 * The gzip of an input. It is compressed once for the size and the digest of the content, and again for each upload: the
 * same program yields the same bytes.
 *
 * @throws CocosError as the source
 */
export async function gzipSource(content: UploadSource, name: DigestName): Promise<UploadSource> {
  const digest = createDigest(name);
  let size = 0;
  for await (const chunk of gzip(content, (bytes) => digest.update(bytes))) size += chunk.length;
  return {
    size,
    digest: digest.finish(),
    inflatedSize: content.size,
    open: async (fromByte) => {
      const reader = new ByteReader(gzip(content, () => undefined));
      const read = (length: number) =>
        reader.read(length).catch((thrown: unknown) => {
          const error = CocosError.from(thrown);
          if (error.code !== 'STREAM_TRUNCATED') throw error;
          throw new CocosError(
            'FILE_UNREADABLE',
            'The input changed during the upload. Try again when no other program writes to it.',
            { cause: error },
          );
        });
      for (let left = fromByte; left > 0; left -= PIECE_BYTES) await read(Math.min(left, PIECE_BYTES));
      return {
        fill: async (into) => into.set(await read(into.length)),
        close: () => reader.close(),
      };
    },
  };
}

async function* gzip(content: UploadSource, onContent: (bytes: Uint8Array) => void): AsyncGenerator<Buffer> {
  const reader = await content.open(0);
  try {
    const pieces = async function* (): AsyncGenerator<Buffer> {
      for (let left = content.size; left > 0; left -= PIECE_BYTES) {
        const piece = Buffer.alloc(Math.min(left, PIECE_BYTES));
        await reader.fill(piece);
        onContent(piece);
        yield piece;
      }
    };
    const source = Readable.from(pieces());
    const packed = createGzip({ level: LEVEL });
    source.on('error', (error) => packed.destroy(error));
    yield* source.pipe(packed) as AsyncIterable<Buffer>;
  } finally {
    await reader.close();
  }
}
