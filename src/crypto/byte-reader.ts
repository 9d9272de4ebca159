import { CocosError } from '../errors.ts';

/** Reads exact lengths from a stream of chunks. It buffers at most one chunk and one read. */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /**
   * The next `length` bytes, as a copy.
   * @throws CocosError STREAM_TRUNCATED if the stream ends inside them
   */
  async read(length: number): Promise<Uint8Array> {
    const bytes = await this.readOrEnd(length);
    if (bytes === undefined) throw truncated(length, 0);
    return bytes;
  }

  /** As `read`, or undefined if the stream ends exactly here. @throws CocosError STREAM_TRUNCATED */
  async readOrEnd(length: number): Promise<Uint8Array | undefined> {
    const out = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      if (this.#chunk.length === 0) {
        const next = await this.#source.next();
        if (next.done === true) {
          if (filled === 0) return undefined;
          throw truncated(length, filled);
        }
        this.#chunk = next.value;
        continue;
      }
      const take = Math.min(length - filled, this.#chunk.length);
      out.set(this.#chunk.subarray(0, take), filled);
      this.#chunk = this.#chunk.subarray(take);
      filled += take;
    }
    return out;
  }

  /** Releases the source: its iterator closes an unfinished file or socket. */
  async close(): Promise<void> {
    await this.#source.return?.();
  }
}

function truncated(wanted: number, found: number): CocosError {
  return new CocosError('STREAM_TRUNCATED', `The stream ended after ${found} of ${wanted} bytes.`);
}
