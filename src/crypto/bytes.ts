import { randomBytes as nodeRandomBytes, timingSafeEqual } from 'node:crypto';
import { CocosError, type ErrorCode } from '../errors.ts';

/** Byte helpers of the crypto folder: joining, comparing, text forms and length guards. */

const encoder = new TextEncoder();

/** UTF-8 bytes of a text. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Text of UTF-8 bytes. @throws CocosError INPUT_INVALID if they are not valid UTF-8 */
export function fromUtf8(bytes: Uint8Array, what: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new CocosError('INPUT_INVALID', `${what} is not valid UTF-8`, { cause });
  }
}

/** `length` bytes from the operating system's generator. */
export function randomBytes(length: number): Uint8Array {
  return new Uint8Array(nodeRandomBytes(length));
}

/** The concatenation of the parts in a new array. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  let total = 0;
  for (const part of parts) total += part.length;
  const out = new Uint8Array(total);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Whether two byte strings are equal, in time that depends only on their length. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** An unsigned integer of 16 bits, big-endian. */
export function u16be(value: number): Uint8Array {
  return Uint8Array.of((value >>> 8) & 0xff, value & 0xff);
}

/** An unsigned integer of 32 bits, big-endian. */
export function u32be(value: number): Uint8Array {
  return Uint8Array.of((value >>> 24) & 0xff, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);
}

/**
 * Each part preceded by its length (u32 big-endian). Different lists never produce the same bytes, so the result can
 * be signed or hashed as a transcript.
 */
export function lengthPrefixed(...parts: readonly Uint8Array[]): Uint8Array {
  return concat(...parts.flatMap((part) => [u32be(part.length), part]));
}

/** Lower-case hex. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** Bytes of a hex text in either case. @throws CocosError INPUT_INVALID */
export function fromHex(text: string, what = 'hex text'): Uint8Array {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) {
    throw new CocosError('INPUT_INVALID', `${what} is not hex`);
  }
  return new Uint8Array(Buffer.from(text, 'hex'));
}

/** Base64url without padding (RFC 4648 section 5). */
export function toBase64Url(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url');
}

/**
 * Bytes of a base64url text without padding. Only the canonical text is accepted: with unused low bits set, several
 * texts would name the same key.
 * @throws CocosError `code` (INPUT_INVALID)
 */
export function fromBase64Url(
  text: string,
  what = 'base64url text',
  code: ErrorCode = 'INPUT_INVALID',
): Uint8Array {
  const bytes = new Uint8Array(Buffer.from(text, 'base64url'));
  if (toBase64Url(bytes) !== text) throw new CocosError(code, `${what} is not canonical base64url`);
  return bytes;
}

/**
 * The bytes, if there are exactly `length` of them.
 * @throws CocosError `code` (INPUT_INVALID) with the name of the value and both lengths
 */
export function expectLength(
  bytes: Uint8Array,
  length: number,
  what: string,
  code: ErrorCode = 'INPUT_INVALID',
): Uint8Array {
  if (bytes.length !== length) {
    throw new CocosError(code, `${what} must have ${length} bytes, has ${bytes.length}`, {
      details: { what, expected: length, found: bytes.length },
    });
  }
  return bytes;
}
