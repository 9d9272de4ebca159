import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import type { AttestationHashes } from '../../crypto/crypto-port.ts';
import type { PublicKey } from '../x509/public-key.ts';

/** Identifiers of keys (Open Profile for DICE, key identifiers): HKDF-SHA512 of the public key with a fixed salt. */

const ID_SALT = hexToBytes(
  'dbdbaebc8020da9ff0dd5a24c83aa5a54286dfc263031e329b4da148430659fe' +
    '62cdb5b7e1e00fc680306711eb444af77209359496fcff1db9520ba51c7b29ea',
);
const ID_BYTES = 20;
const BLOCK_BYTES = 128;

/** HMAC-SHA512 (RFC 2104) of a key that is at most one block long. */
function hmacSha512(key: Uint8Array, message: Uint8Array, hashes: AttestationHashes): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES);
  block.set(key);
  const pad = (value: number): Uint8Array => block.map((byte) => byte ^ value);
  return hashes.sha512(concatBytes(pad(0x5c), hashes.sha512(concatBytes(pad(0x36), message))));
}

/** The bytes of a key that identify it: raw Ed25519 key, or x ‖ y. */
function keyBytes(key: PublicKey): Uint8Array | null {
  if (key.kind === 'ed25519') return key.key;
  return key.kind === 'rsa' ? null : key.point.subarray(1);
}

/** The 20-byte identifier of a key, in hex; null for a kind of key that the profile does not define. */
export function keyIdentifier(key: PublicKey, hashes: AttestationHashes): string | null {
  const bytes = keyBytes(key);
  if (bytes === null) return null;
  const pseudorandom = hmacSha512(ID_SALT, bytes, hashes);
  // One round of HKDF-Expand yields 64 bytes, of which 20 are used.
  const output = hmacSha512(pseudorandom, concatBytes(utf8ToBytes('ID'), Uint8Array.of(1)), hashes);
  const id = output.slice(0, ID_BYTES);
  // A serial number of a certificate must be positive.
  id[0] = (id[0] ?? 0) & 0x7f;
  return bytesToHex(id);
}
