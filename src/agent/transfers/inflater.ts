import { createGunzip } from 'node:zlib';
import { CocosError } from '../../errors.ts';

/** What is inflated at a time: no more than this is held beyond what was declared. */
const CHUNK_BYTES = 64 * 1024;

/** Inflates a gzip stream (RFC 1952) that comes in pieces, in constant memory and no further than was declared. */
export class Inflater {
  private readonly gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
  private readonly drained: Promise<void>;
  private failure: CocosError | null = null;

  /**
   * @param limit bytes of the content, as declared
   * @param take gets the content in order; one piece at a time
   */
  constructor(limit: number, take: (bytes: Uint8Array) => Promise<void>) {
    this.drained = this.drain(limit, take);
    this.drained.catch(() => undefined);
    this.gunzip.on('error', () => undefined);
  }

  /**
   * Takes the next piece in; its memory is the caller's again afterwards.
   * @throws CocosError TRANSFER_ENCODING when it is no gzip, TRANSFER_SIZE_MISMATCH at the first byte beyond the
   * limit, or what `take` throws
   */
  async push(bytes: Uint8Array): Promise<void> {
    const written = new Promise<void>((resolve) => {
      this.gunzip.write(bytes, () => resolve());
    });
    // What goes wrong is told by the reading side; whether the writing side notices at all differs with the fault.
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
          `It inflates to more than the ${limit} bytes declared.`,
        );
      }
      await take(chunk);
    };
    try {
      for await (const chunk of this.gunzip as AsyncIterable<Buffer>) {
        await next(chunk).catch((thrown: unknown) => {
          // Noted before the loop lets go of the stream, which wakes the writing side.
          this.failure = CocosError.from(thrown);
          throw this.failure;
        });
      }
    } catch (thrown) {
      this.failure = CocosError.from(thrown, 'TRANSFER_ENCODING');
      throw this.failure;
    }
  }
}
