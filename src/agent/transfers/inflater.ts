import { createGunzip } from 'node:zlib';
import { CocosError } from '../../errors.ts';

/** Bytes inflated at a time: the most that is held beyond the declared size. */
const CHUNK_BYTES = 64 * 1024;

/** Inflates a gzip stream (RFC 1952) in constant memory, up to the declared size. */
export class Inflater {
  private readonly gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
  private readonly drained: Promise<void>;
  private failure: CocosError | null = null;

  /**
   * @param limit declared bytes of the content
   * @param take receives the content in order, one chunk at a time
   */
  constructor(limit: number, take: (bytes: Uint8Array) => Promise<void>) {
    this.drained = this.drain(limit, take);
    this.drained.catch(() => undefined);
    this.gunzip.on('error', () => undefined);
  }

  /**
   * Inflates the next chunk. The caller may reuse its memory afterwards.
   * @throws CocosError TRANSFER_ENCODING if the stream is not gzip, TRANSFER_SIZE_MISMATCH at the first byte beyond the
   * limit, or what `take` throws
   */
  async push(bytes: Uint8Array): Promise<void> {
    const written = new Promise<void>((resolve) => {
      this.gunzip.write(bytes, () => resolve());
    });
    // The reading side reports every failure; the writing side notices only some.
    await Promise.race([written, this.drained]);
    if (this.failure !== null) throw this.failure;
  }

  /** The stream has ended. @throws CocosError as `push` */
  async end(): Promise<void> {
    this.gunzip.end();
    await this.drained;
  }

  close(): void {
    this.gunzip.destroy();
  }

  private async drain(limit: number, take: (bytes: Uint8Array) => Promise<void>): Promise<void> {
    let size = 0;
    const next = async (chunk: Uint8Array) => {
      size += chunk.length;
      if (size > limit) {
        throw new CocosError(
          'TRANSFER_SIZE_MISMATCH',
          `The gzip stream inflates to more than the declared ${limit} bytes.`,
        );
      }
      await take(chunk);
    };
    try {
      for await (const chunk of this.gunzip as AsyncIterable<Buffer>) {
        await next(chunk).catch((thrown: unknown) => {
          // Set before the loop destroys the stream, which wakes the writing side.
          this.failure = CocosError.from(thrown);
          throw this.failure;
        });
      }
    } catch (thrown) {
      this.failure = thrown instanceof CocosError ? thrown : notGzip(thrown);
      throw this.failure;
    }
  }
}

function notGzip(cause: unknown): CocosError {
  return new CocosError(
    'TRANSFER_ENCODING',
    'The input was declared as gzip but is not gzip, or is damaged; compress it again and repeat the upload.',
    { cause },
  );
}
