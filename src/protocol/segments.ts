import {
  AEAD_KEY_BYTES,
  AEAD_NONCE_BYTES,
  AEAD_TAG_BYTES,
  type AeadName,
  aeadOpen,
  aeadSeal,
} from '../crypto/aead.ts';
import { concat, expectLength, lengthPrefixed, u32be, utf8 } from '../crypto/bytes.ts';
import { sha256 } from '../crypto/digest.ts';
import { hkdf } from '../crypto/hkdf.ts';
import { CocosError } from '../errors.ts';

/**
 * Segments of a sealed stream, following the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizar, 2015):
 * nonce = 7-byte prefix ‖ u32 counter ‖ last flag. HKDF derives the segment key and the prefix from the stream's key,
 * AEAD, segment size and associated data, so a segment opens only at its position of its stream. Every segment but the
 * last has exactly `segmentSize` bytes; the empty stream is one empty last segment. One key with one associated data
 * seals one byte string: a resumed sender must send the same bytes, or name another attempt in the associated data.
 */

export const DEFAULT_SEGMENT_SIZE = 256 * 1024;
export const MIN_SEGMENT_SIZE = 64 * 1024;
export const MAX_SEGMENT_SIZE = 4 * 1024 * 1024;
/** Maximum number of segments in a stream: the counter has 32 bits. */
export const MAX_SEGMENTS = 2 ** 32;

const LABEL = utf8('cocosai segments v1');
const PREFIX_BYTES = 7;

export interface SegmentParameters {
  /** 32 bytes, for this stream only. */
  readonly key: Uint8Array;
  readonly aead: AeadName;
  /** What both ends know about the stream: transfer id, role, size, digest. */
  readonly associatedData: Uint8Array;
  /** Plaintext bytes of each segment but the last, 64 KiB to 4 MiB; 256 KiB by default. */
  readonly segmentSize?: number;
}

export interface SealedSegment {
  readonly index: number;
  readonly last: boolean;
  /** Ciphertext with its tag of 16 bytes. */
  readonly bytes: Uint8Array;
}

/** Segments of a stream of `size` plaintext bytes: at least one. */
export function segmentCount(size: number, segmentSize: number = DEFAULT_SEGMENT_SIZE): number {
  return Math.max(1, Math.ceil(size / segmentSize));
}

/** Bytes of all segments of a stream of `size` plaintext bytes, including tags, without framing. */
export function sealedSize(size: number, segmentSize: number = DEFAULT_SEGMENT_SIZE): number {
  return size + segmentCount(size, segmentSize) * AEAD_TAG_BYTES;
}

/** Keys of one stream and the position in it, used by sealer and opener. */
class SegmentCursor {
  readonly segmentSize: number;
  readonly #aead: AeadName;
  readonly #key: Uint8Array;
  readonly #prefix: Uint8Array;
  readonly #aad: Uint8Array;
  #next: number;
  #finished = false;

  constructor(parameters: SegmentParameters, startIndex: number) {
    const segmentSize = parameters.segmentSize ?? DEFAULT_SEGMENT_SIZE;
    if (!Number.isInteger(segmentSize) || segmentSize < MIN_SEGMENT_SIZE || segmentSize > MAX_SEGMENT_SIZE) {
      throw new CocosError(
        'INPUT_INVALID',
        `A segment has 65,536 to 4,194,304 bytes; ${segmentSize} were requested.`,
      );
    }
    if (!Number.isInteger(startIndex) || startIndex < 0 || startIndex >= MAX_SEGMENTS) {
      throw new CocosError('INPUT_INVALID', `A stream cannot start at segment ${startIndex}.`);
    }
    expectLength(parameters.key, AEAD_KEY_BYTES, 'segment stream key');
    this.#aad = sha256(
      lengthPrefixed(LABEL, utf8(parameters.aead), u32be(segmentSize), parameters.associatedData),
    );
    const material = hkdf(parameters.key, concat(LABEL, this.#aad), AEAD_KEY_BYTES + PREFIX_BYTES);
    this.#key = material.subarray(0, AEAD_KEY_BYTES);
    this.#prefix = material.subarray(AEAD_KEY_BYTES);
    this.#aead = parameters.aead;
    this.segmentSize = segmentSize;
    this.#next = startIndex;
  }

  /** Index of the next segment. */
  get nextIndex(): number {
    return this.#next;
  }

  /** Whether the last segment was processed. */
  get finished(): boolean {
    return this.#finished;
  }

  requireOpen(): void {
    if (this.#finished) throw new CocosError('STREAM_TRAILING', 'A segment arrived after the last one.');
    if (this.#next >= MAX_SEGMENTS)
      throw new CocosError('LIMIT_EXCEEDED', 'The stream has too many segments; use a larger segment size.');
  }

  /** Whether a segment of this plaintext length is valid here: each stream has exactly one division. */
  fits(length: number, last: boolean): boolean {
    if (!last) return length === this.segmentSize;
    return length <= this.segmentSize && (length > 0 || this.#next === 0);
  }

  seal(plaintext: Uint8Array, last: boolean, out: Uint8Array): Uint8Array {
    return aeadSeal(this.#aead, this.#key, this.#nonce(last), this.#aad, plaintext, out);
  }

  open(ciphertext: Uint8Array, last: boolean, out: Uint8Array): Uint8Array {
    return aeadOpen(this.#aead, this.#key, this.#nonce(last), this.#aad, ciphertext, out);
  }

  /** Overwrites the keys and disables the object. */
  erase(): void {
    this.#key.fill(0);
    this.#prefix.fill(0);
    this.#finished = true;
  }

  advance(last: boolean): void {
    this.#next += 1;
    this.#finished = last;
  }

  #nonce(last: boolean): Uint8Array {
    const nonce = new Uint8Array(AEAD_NONCE_BYTES);
    nonce.set(this.#prefix);
    nonce.set(u32be(this.#next), PREFIX_BYTES);
    nonce[AEAD_NONCE_BYTES - 1] = last ? 1 : 0;
    return nonce;
  }
}

/** Seals the segments of one stream in order. */
export class SegmentSealer {
  readonly #cursor: SegmentCursor;

  /** @throws CocosError INPUT_INVALID for a key, segment size or start index that is not allowed */
  constructor(parameters: SegmentParameters, startIndex = 0) {
    this.#cursor = new SegmentCursor(parameters, startIndex);
  }

  get segmentSize(): number {
    return this.#cursor.segmentSize;
  }

  get nextIndex(): number {
    return this.#cursor.nextIndex;
  }

  /**
   * Seals the next segment: exactly `segmentSize` bytes, or 1 to `segmentSize` for the last one (0 if it is the only
   * one).
   * @throws CocosError INPUT_INVALID for another length; STREAM_TRAILING after the last segment;
   * LIMIT_EXCEEDED after 2^32 segments
   * @param out buffer for the plaintext plus 16 bytes; it may start where the plaintext does
   */
  seal(
    plaintext: Uint8Array,
    last: boolean,
    out: Uint8Array = new Uint8Array(plaintext.length + AEAD_TAG_BYTES),
  ): SealedSegment {
    this.#cursor.requireOpen();
    if (!this.#cursor.fits(plaintext.length, last)) {
      throw new CocosError(
        'INPUT_INVALID',
        `A segment of ${plaintext.length} bytes is invalid at this position.`,
      );
    }
    const segment = { index: this.#cursor.nextIndex, last, bytes: this.#cursor.seal(plaintext, last, out) };
    this.#cursor.advance(last);
    return segment;
  }

  /** Overwrites the keys: nothing is sealed any more. */
  erase(): void {
    this.#cursor.erase();
  }
}

/** Opens the segments of one stream, strictly in order. */
export class SegmentOpener {
  readonly #cursor: SegmentCursor;

  /**
   * `startIndex` is the first segment that is still missing when a transfer is resumed.
   * @throws CocosError INPUT_INVALID for a key, segment size or start index that is not allowed
   */
  constructor(parameters: SegmentParameters, startIndex = 0) {
    this.#cursor = new SegmentCursor(parameters, startIndex);
  }

  /** Index of the next segment, where a transfer resumes. */
  get nextIndex(): number {
    return this.#cursor.nextIndex;
  }

  get finished(): boolean {
    return this.#cursor.finished;
  }

  /**
   * The plaintext of the next segment. A refused segment does not change the opener.
   * @throws CocosError CRYPTO_OPEN_FAILED if it was altered, moved, repeated or taken from another stream;
   * STREAM_TRAILING after the last segment; LIMIT_EXCEEDED after 2^32 segments
   * @param into buffer for the ciphertext less 16 bytes, allocated by default; it may start where the ciphertext does
   */
  open(ciphertext: Uint8Array, index: number, last: boolean, into?: Uint8Array): Uint8Array {
    this.#cursor.requireOpen();
    if (index !== this.#cursor.nextIndex) {
      throw new CocosError(
        'CRYPTO_OPEN_FAILED',
        `Expected segment ${this.nextIndex}; segment ${index} arrived.`,
      );
    }
    if (!this.#cursor.fits(ciphertext.length - AEAD_TAG_BYTES, last)) {
      throw new CocosError('CRYPTO_OPEN_FAILED', `Segment ${index} has an impossible length.`);
    }
    const out = into ?? new Uint8Array(ciphertext.length - AEAD_TAG_BYTES);
    const plaintext = this.#cursor.open(ciphertext, last, out);
    this.#cursor.advance(last);
    return plaintext;
  }

  /** Overwrites the keys and disables the opener. */
  erase(): void {
    this.#cursor.erase();
  }

  /** Must be called when the source ends. @throws CocosError STREAM_TRUNCATED if the last segment is missing */
  finish(): void {
    if (!this.finished) throw new CocosError('STREAM_TRUNCATED', 'The stream ended before its last segment.');
  }
}
