import { type CipherGCMTypes, createCipheriv, createDecipheriv, getCiphers } from 'node:crypto';
import { gcm } from '@noble/ciphers/aes.js';
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { CocosError } from '../errors.ts';
import { expectLength } from './bytes.ts';

/**
 * The two AEADs of the project, ChaCha20-Poly1305 (RFC 8439) and AES-256-GCM (NIST SP 800-38D), each with
 * a native and a portable implementation that give the same bytes.
 */

export type AeadName = 'chacha20-poly1305' | 'aes-256-gcm';

/** Key, nonce and tag lengths in bytes; both AEADs share them. */
export const AEAD_KEY_BYTES = 32;
export const AEAD_NONCE_BYTES = 12;
export const AEAD_TAG_BYTES = 16;

/** One implementation of one AEAD. `seal` gives the ciphertext with the tag behind it. */
export interface AeadBackend {
  seal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array;
  /** Throws any error when the tag does not fit. */
  open(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Uint8Array;
}

/** The portable implementation. */
export function portableAead(name: AeadName): AeadBackend {
  const cipher = name === 'aes-256-gcm' ? gcm : chacha20poly1305;
  return {
    seal: (key, nonce, aad, plaintext) => cipher(key, nonce, aad).encrypt(plaintext),
    open: (key, nonce, aad, ciphertext) => cipher(key, nonce, aad).decrypt(ciphertext),
  };
}

/** The native implementation, or undefined where this runtime was built without the cipher. */
export function nativeAead(name: AeadName): AeadBackend | undefined {
  if (!getCiphers().includes(name)) return undefined;
  const options = { authTagLength: AEAD_TAG_BYTES };
  // The type list of node:crypto names ChaCha20-Poly1305 apart from the GCM family; both take this form.
  const algorithm = name as CipherGCMTypes;
  return {
    seal(key, nonce, aad, plaintext) {
      const cipher = createCipheriv(algorithm, key, nonce, options);
      cipher.setAAD(aad);
      const out = new Uint8Array(plaintext.length + AEAD_TAG_BYTES);
      out.set(cipher.update(plaintext));
      cipher.final();
      out.set(cipher.getAuthTag(), plaintext.length);
      return out;
    },
    open(key, nonce, aad, ciphertext) {
      const split = ciphertext.length - AEAD_TAG_BYTES;
      const decipher = createDecipheriv(algorithm, key, nonce, options);
      decipher.setAAD(aad);
      decipher.setAuthTag(ciphertext.subarray(split));
      const plaintext = decipher.update(ciphertext.subarray(0, split));
      decipher.final();
      return new Uint8Array(plaintext.buffer, plaintext.byteOffset, plaintext.byteLength);
    },
  };
}

const BACKENDS: Readonly<Record<AeadName, AeadBackend>> = {
  'aes-256-gcm': nativeAead('aes-256-gcm') ?? portableAead('aes-256-gcm'),
  'chacha20-poly1305': nativeAead('chacha20-poly1305') ?? portableAead('chacha20-poly1305'),
};

/**
 * Seals a message: ciphertext of the plaintext's length followed by the 16-byte tag.
 * A nonce must never be used twice under one key.
 * @throws CocosError INPUT_INVALID when the key has not 32 or the nonce not 12 bytes
 */
export function aeadSeal(
  name: AeadName,
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  expectLength(key, AEAD_KEY_BYTES, 'AEAD key');
  expectLength(nonce, AEAD_NONCE_BYTES, 'AEAD nonce');
  return BACKENDS[name].seal(key, nonce, aad, plaintext);
}

/**
 * Opens a sealed message.
 * @throws CocosError INPUT_INVALID for a key or nonce of the wrong length; CRYPTO_OPEN_FAILED when the
 * ciphertext, associated data, nonce or key is not the one it was sealed with
 */
export function aeadOpen(
  name: AeadName,
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array {
  expectLength(key, AEAD_KEY_BYTES, 'AEAD key');
  expectLength(nonce, AEAD_NONCE_BYTES, 'AEAD nonce');
  if (ciphertext.length < AEAD_TAG_BYTES) {
    throw new CocosError('CRYPTO_OPEN_FAILED', 'the sealed bytes are shorter than their tag');
  }
  try {
    return BACKENDS[name].open(key, nonce, aad, ciphertext);
  } catch (cause) {
    throw new CocosError('CRYPTO_OPEN_FAILED', 'the sealed bytes do not open', { cause });
  }
}
