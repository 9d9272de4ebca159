import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import { CocosError } from '../../errors.ts';
import { contextTag, TAG } from './der.ts';
import { isoTime } from './time.ts';

/** Writes the DER (ITU-T X.690) of the certificates of the emulated security processor. */

function lengthBytes(length: number): Uint8Array {
  if (length < 0x80) return Uint8Array.of(length);
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Uint8Array.of(0x80 | bytes.length, ...bytes);
}

/** One element from its tag and the parts of its content. */
export function element(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  const body = concatBytes(...content);
  return concatBytes(Uint8Array.of(tag), lengthBytes(body.length), body);
}

export const sequence = (...parts: readonly Uint8Array[]): Uint8Array => element(TAG.sequence, ...parts);
export const set = (...parts: readonly Uint8Array[]): Uint8Array => element(TAG.set, ...parts);
export const octetString = (content: Uint8Array): Uint8Array => element(TAG.octetString, content);
export const utf8String = (text: string): Uint8Array => element(TAG.utf8String, utf8ToBytes(text));
export const ia5String = (text: string): Uint8Array => element(TAG.ia5String, utf8ToBytes(text));
export const derNull = (): Uint8Array => element(TAG.null);
export const derTrue = (): Uint8Array => element(TAG.boolean, Uint8Array.of(0xff));
/** `[n] EXPLICIT`. */
export const explicit = (n: number, content: Uint8Array): Uint8Array => element(contextTag(n), content);

/** BIT STRING; `unused` counts the bits at the end that do not belong to it. */
export const bitString = (content: Uint8Array, unused = 0): Uint8Array =>
  element(TAG.bitString, Uint8Array.of(unused), content);

/** Non-negative INTEGER from big-endian bytes. */
export function integerOf(magnitude: Uint8Array): Uint8Array {
  const first = magnitude.findIndex((byte) => byte !== 0);
  const significant = first < 0 ? Uint8Array.of(0) : magnitude.subarray(first);
  // A leading one bit would make the number negative.
  const sign = (significant[0] ?? 0) >= 0x80 ? Uint8Array.of(0) : new Uint8Array();
  return element(TAG.integer, sign, significant);
}

/** Non-negative INTEGER below 2^31. */
export function integer(value: number): Uint8Array {
  return integerOf(Uint8Array.of(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff));
}

/** OBJECT IDENTIFIER from its dotted notation. */
export function oid(text: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const bytes = [40 * first + second, ...rest].flatMap((arc) => {
    const groups = [arc & 0x7f];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) {
      groups.unshift((left & 0x7f) | 0x80);
    }
    return groups;
  });
  return element(TAG.oid, Uint8Array.from(bytes));
}

/**
 * UTCTime to 2049, GeneralizedTime from 2050 on (RFC 5280 4.1.2.5).
 *
 * @param ms milliseconds since 1970, truncated to seconds; years 1950 to 9999.
 */
export function time(ms: number): Uint8Array {
  const digits = isoTime(ms).replace(/[-:T]/g, '');
  const year = Number(digits.slice(0, 4));
  if (year < 1950 || year > 9999)
    throw new CocosError('INPUT_INVALID', `a certificate cannot contain the year ${year}`);
  return year < 2050
    ? element(TAG.utcTime, utf8ToBytes(digits.slice(2)))
    : element(TAG.generalizedTime, utf8ToBytes(digits));
}
