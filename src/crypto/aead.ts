import { type CipherGCMTypes, createCipheriv, createDecipheriv, getCiphers } from 'node:crypto';
import { gcm } from '@noble/ciphers/aes.js';
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { CocosError } from '../errors.ts';
import { expectLength } from './bytes.ts';

/**
 * The two AEADs of the project, ChaCha20-Poly1305 (RFC 8439) and AES-256-GCM (NIST SP 800-38D). Each has a native and
 * a portable implementation with identical output.
 */

export type AeadName = 'chacha20-poly1305' | 'aes-256-gcm';

/** Key, nonce and tag lengths in bytes; both AEADs share them. */
export const AEAD_KEY_BYTES = 32;
export const AEAD_NONCE_BYTES = 12;
export const AEAD_TAG_BYTES = 16;

/** Bytes per call of the native cipher: it returns larger chunks in fresh pages, at half the speed. */
const PIECE_BYTES = 32 * 1024;

/**
 * One implementation of one AEAD. It writes to `out` and returns it. `out` may start at the same byte as the input.
 */
export interface AeadBackend {
  /** `out` holds the ciphertext followed by the tag. */
  seal(
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
    plaintext: Uint8Array,
    out?: Uint8Array,
  ): Uint8Array;
  /** Throws any error if the tag does not match; `out` must not be used then. */
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

/** The native implementation, or undefined if this runtime was built without the cipher. */
export function nativeAead(name: AeadName): AeadBackend | undefined {
  if (!getCiphers().includes(name)) return undefined;
  const options = { authTagLength: AEAD_TAG_BYTES };
  // The types of node:crypto list ChaCha20-Poly1305 separately from the GCM family; both accept these arguments.
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
 * Seals a message: ciphertext of the plaintext's length followed by the 16-byte tag. The optional `out` may start where
 * the plaintext does. A nonce must never be used twice under one key.
 * @throws CocosError INPUT_INVALID unless the key has 32 bytes, the nonce 12, and `out` 16 more than the plaintext
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
  expectLength(out, plaintext.length + AEAD_TAG_BYTES, 'buffer for the sealed bytes');
  return BACKENDS[name].seal(key, nonce, aad, plaintext, out);
}

/**
 * Opens a sealed message. The optional `out` may start where the ciphertext does.
 * @throws CocosError INPUT_INVALID for a key or nonce of the wrong length; CRYPTO_OPEN_FAILED if ciphertext, associated
 * data, nonce or key differ from those of the sealing
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
    throw new CocosError('CRYPTO_OPEN_FAILED', 'The sealed bytes are shorter than their tag.');
  }
  expectLength(out, ciphertext.length - AEAD_TAG_BYTES, 'buffer for the opened bytes');
  try {
    return BACKENDS[name].open(key, nonce, aad, ciphertext, out);
  } catch (cause) {
    throw new CocosError(
      'CRYPTO_OPEN_FAILED',
      'The sealed bytes do not open: they were altered, or sealed under another key.',
      { cause },
    );
  }
}
