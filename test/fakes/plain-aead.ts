import { CocosError } from '../../src/errors.ts';

/** Stands for `src/crypto/aead.ts` in programs built for one test: it seals nothing, so that a search must find. */

export type AeadName = 'chacha20-poly1305' | 'aes-256-gcm';
export const AEAD_KEY_BYTES = 32;
export const AEAD_NONCE_BYTES = 12;
export const AEAD_TAG_BYTES = 16;
export const AEAD_NAMES: readonly AeadName[] = ['chacha20-poly1305', 'aes-256-gcm'];

export function aeadSeal(
  _name: AeadName,
  _key: Uint8Array,
  _nonce: Uint8Array,
  _associated: Uint8Array,
  plaintext: Uint8Array,
  out = new Uint8Array(plaintext.length + AEAD_TAG_BYTES),
): Uint8Array {
  out.set(plaintext);
  out.fill(0, plaintext.length);
  return out;
}

export function aeadOpen(
  _name: AeadName,
  _key: Uint8Array,
  _nonce: Uint8Array,
  _associated: Uint8Array,
  sealed: Uint8Array,
  out = new Uint8Array(Math.max(0, sealed.length - AEAD_TAG_BYTES)),
): Uint8Array {
  if (sealed.length < AEAD_TAG_BYTES) throw new CocosError('CRYPTO_OPEN_FAILED', 'too short');
  out.set(sealed.subarray(0, out.length));
  return out;
}
