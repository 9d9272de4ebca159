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

/** Bytes given to the native cipher at a time: a larger piece comes back in fresh pages, at half the speed. */
const PIECE_BYTES = 32 * 1024;

/**
 * One implementation of one AEAD, writing into `out` and giving it back. `out` may be the memory of the input:
 * both may begin at the same byte.
 */
export interface AeadBackend {
  /** `out` has room for the ciphertext and the tag behind it. */
  seal(
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
    plaintext: Uint8Array,
    out?: Uint8Array,
  ): Uint8Array;
  /** Throws any error when the tag does not fit; what `out` holds then is not to be used. */
  open(
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
    ciphertext: Uint8Array,
    out?: Uint8Array,
  ): Uint8Array;
}

/** The portable implementation. */
export function portableAead(name: AeadName): AeadBackend {
  const cipher = name === 'aes-256-gcm' ? gcm : chacha20poly1305;
  return {
    seal: (key, nonce, aad, plaintext, out = roomToSeal(plaintext)) => {
      out.set(cipher(key, nonce, aad).encrypt(plaintext));
      return out;
    },
    open: (key, nonce, aad, ciphertext, out = roomToOpen(ciphertext)) => {
      out.set(cipher(key, nonce, aad).decrypt(ciphertext));
      return out;
    },
  };
}

/** The native implementation, or undefined where this runtime was built without the cipher. */
export function nativeAead(name: AeadName): AeadBackend | undefined {
  if (!getCiphers().includes(name)) return undefined;
  const options = { authTagLength: AEAD_TAG_BYTES };
  // The type list of node:crypto names ChaCha20-Poly1305 apart from the GCM family; both take this form.
  const algorithm = name as CipherGCMTypes;
  return {
    seal(key, nonce, aad, plaintext, out = roomToSeal(plaintext)) {
      const cipher = createCipheriv(algorithm, key, nonce, options);
      cipher.setAAD(aad);
      inPieces(plaintext, out, (piece) => cipher.update(piece));
      cipher.final();
      out.set(cipher.getAuthTag(), plaintext.length);
      return out;
    },
    open(key, nonce, aad, ciphertext, out = roomToOpen(ciphertext)) {
      const split = ciphertext.length - AEAD_TAG_BYTES;
      const decipher = createDecipheriv(algorithm, key, nonce, options);
      decipher.setAAD(aad);
      decipher.setAuthTag(ciphertext.slice(split));
      inPieces(ciphertext.subarray(0, split), out, (piece) => decipher.update(piece));
      decipher.final();
      return out;
    },
  };
}

function inPieces(from: Uint8Array, to: Uint8Array, update: (piece: Uint8Array) => Uint8Array): void {
  for (let at = 0; at < from.length; at += PIECE_BYTES) {
    to.set(update(from.subarray(at, at + PIECE_BYTES)), at);
  }
}

function roomToSeal(plaintext: Uint8Array): Uint8Array {
  return new Uint8Array(plaintext.length + AEAD_TAG_BYTES);
}

function roomToOpen(ciphertext: Uint8Array): Uint8Array {
  return new Uint8Array(Math.max(0, ciphertext.length - AEAD_TAG_BYTES));
}

const BACKENDS: Readonly<Record<AeadName, AeadBackend>> = {
  'aes-256-gcm': nativeAead('aes-256-gcm') ?? portableAead('aes-256-gcm'),
  'chacha20-poly1305': nativeAead('chacha20-poly1305') ?? portableAead('chacha20-poly1305'),
};

/**
 * Seals a message: ciphertext of the plaintext's length followed by the 16-byte tag, in `out` where one is given
 * (which may begin where the plaintext does). A nonce must never be used twice under one key.
 * @throws CocosError INPUT_INVALID when the key has not 32, the nonce not 12 bytes, or `out` not 16 more than the
 * plaintext
 */
export function aeadSeal(
  name: AeadName,
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
  out: Uint8Array = roomToSeal(plaintext),
): Uint8Array {
  expectLength(key, AEAD_KEY_BYTES, 'AEAD key');
  expectLength(nonce, AEAD_NONCE_BYTES, 'AEAD nonce');
  expectLength(out, plaintext.length + AEAD_TAG_BYTES, 'room for sealed bytes');
  return BACKENDS[name].seal(key, nonce, aad, plaintext, out);
}

/**
 * Opens a sealed message, into `out` where one is given (which may begin where the ciphertext does).
 * @throws CocosError INPUT_INVALID for a key or nonce of the wrong length; CRYPTO_OPEN_FAILED when the
 * ciphertext, associated data, nonce or key is not the one it was sealed with
 */
export function aeadOpen(
  name: AeadName,
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  ciphertext: Uint8Array,
  out: Uint8Array = roomToOpen(ciphertext),
): Uint8Array {
  expectLength(key, AEAD_KEY_BYTES, 'AEAD key');
  expectLength(nonce, AEAD_NONCE_BYTES, 'AEAD nonce');
  if (ciphertext.length < AEAD_TAG_BYTES) {
    throw new CocosError('CRYPTO_OPEN_FAILED', 'the sealed bytes are shorter than their tag');
  }
  expectLength(out, ciphertext.length - AEAD_TAG_BYTES, 'room for opened bytes');
  try {
    return BACKENDS[name].open(key, nonce, aad, ciphertext, out);
  } catch (cause) {
    throw new CocosError('CRYPTO_OPEN_FAILED', 'the sealed bytes do not open', { cause });
  }
}
