import { AEAD_TAG_BYTES } from '../crypto/aead.ts';
import type { ByteReader } from '../crypto/byte-reader.ts';
import { concat, u32be } from '../crypto/bytes.ts';
import { CocosError } from '../errors.ts';
import { MAX_SEGMENT_SIZE, type SealedSegment } from './segments.ts';

/**
 * Sealed segments on a plain byte stream (a file, a socket): u32 big-endian length with the top bit set for the last
 * segment, then the ciphertext. The bit is a hint for the reader; the nonce authenticates it.
 */

const LAST_BIT = 0x8000_0000;
export const FRAME_HEADER_BYTES = 4;

/** Maximum frame body in bytes. */
export const MAX_FRAMED_SEGMENT = MAX_SEGMENT_SIZE + AEAD_TAG_BYTES;

/** Writes the header of a frame with `length` bytes of ciphertext into the first bytes of `out`. */
export function writeFrameHeader(out: Uint8Array, length: number, last: boolean): void {
  new DataView(out.buffer, out.byteOffset).setUint32(0, last ? length + LAST_BIT : length);
}

/** The fields of a four-byte header. The caller must check the length. */
export function parseFrameHeader(head: Uint8Array): { readonly length: number; readonly last: boolean } {
  const word = new DataView(head.buffer, head.byteOffset).getUint32(0);
  const last = word >= LAST_BIT;
  return { last, length: last ? word - LAST_BIT : word };
}

/** One framed segment, ready to write. */
export function frameSegment(segment: SealedSegment): Uint8Array {
  const head = segment.last ? segment.bytes.length + LAST_BIT : segment.bytes.length;
  return concat(u32be(head), segment.bytes);
}

/**
 * Reads framed segments up to and including the last, numbered from `startIndex`. The length is checked before memory
 * is allocated. Bytes after the last segment remain in the reader.
 * @throws CocosError STREAM_TRUNCATED if the stream ends before the last segment; FRAME_INVALID for an impossible length
 */
export async function* readSegments(
  reader: ByteReader,
  startIndex = 0,
  maxBytes: number = MAX_FRAMED_SEGMENT,
): AsyncGenerator<SealedSegment, void, undefined> {
  for (let index = startIndex; ; index += 1) {
    const { length, last } = parseFrameHeader(await reader.read(FRAME_HEADER_BYTES));
    if (length < AEAD_TAG_BYTES || length > maxBytes) {
      throw new CocosError('FRAME_INVALID', `A segment frame cannot have ${length} bytes.`);
    }
    yield { index, last, bytes: await reader.read(length) };
    if (last) return;
  }
}

/** Sealed segments as the chunks of a byte stream. */
export async function* frameSegments(
  segments: AsyncIterable<SealedSegment>,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const segment of segments) yield frameSegment(segment);
}
