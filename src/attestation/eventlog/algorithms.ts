import type { AttestationCrypto, HashName } from '../../crypto/crypto-port.ts';

/** Hash algorithms of TPM 2.0 (TPM_ALG_ID). */
export const HASH_IDS: Readonly<Record<number, HashName>> = {
  4: 'sha1',
  11: 'sha256',
  12: 'sha384',
  13: 'sha512',
};

/** Bytes of a digest, per algorithm that a log may list: those above, and SM3, which is parsed but never replayed. */
export const DIGEST_BYTES: Readonly<Record<number, number>> = {
  4: 20,
  11: 32,
  12: 48,
  13: 64,
  18: 32,
};

export const HASH_BYTES: Readonly<Record<HashName, number>> = {
  sha1: 20,
  sha256: 32,
  sha384: 48,
  sha512: 64,
};

export function isHashName(text: string): text is HashName {
  return Object.hasOwn(HASH_BYTES, text);
}

/** Applies a hash by its name. */
export function hashOf(name: HashName, data: Uint8Array, crypto: AttestationCrypto): Uint8Array {
  return crypto[name](data);
}
