import { expand, extract } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { concat, u16be, utf8 } from './bytes.ts';

/** HKDF-SHA256 (RFC 5869) and its labelled form of HPKE (RFC 9180 section 4). */

const VERSION_LABEL = utf8('HPKE-v1');
const EMPTY = new Uint8Array(0);

/** HKDF-Extract then HKDF-Expand with an empty salt: `length` bytes from `key`, separated by `info`. */
export function hkdf(key: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  return expand(sha256, extract(sha256, key, EMPTY), info, length);
}

/** LabeledExtract(salt, label, ikm) of RFC 9180 section 4. */
export function labeledExtract(
  suiteId: Uint8Array,
  salt: Uint8Array,
  label: string,
  ikm: Uint8Array,
): Uint8Array {
  return extract(sha256, concat(VERSION_LABEL, suiteId, utf8(label), ikm), salt);
}

/** LabeledExpand(prk, label, info, L) of RFC 9180 section 4. */
export function labeledExpand(
  suiteId: Uint8Array,
  prk: Uint8Array,
  label: string,
  info: Uint8Array,
  length: number,
): Uint8Array {
  return expand(sha256, prk, concat(u16be(length), VERSION_LABEL, suiteId, utf8(label), info), length);
}
