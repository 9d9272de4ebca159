import { ed25519 } from '@noble/curves/ed25519.js';
import { expectLength, randomBytes } from './bytes.ts';
import { nativePublicKey } from './native-keys.ts';

/** Ed25519 signatures (RFC 8032), verified strictly: no key of low order, no non-canonical encoding. */

export const SIGNING_KEY_BYTES = 32;
export const SIGNATURE_BYTES = 64;

export interface SigningKeyPair {
  readonly publicKey: Uint8Array;
  /** The 32-byte seed of RFC 8032 section 5.1.5. */
  readonly secretKey: Uint8Array;
}

/** A fresh key pair. */
export function generateSigningKeyPair(): SigningKeyPair {
  const secretKey = randomBytes(SIGNING_KEY_BYTES);
  return { secretKey, publicKey: signingPublicKey(secretKey) };
}

/** The public key of a secret key. @throws CocosError CRYPTO_KEY_INVALID unless it has 32 bytes */
export function signingPublicKey(secretKey: Uint8Array): Uint8Array {
  return nativePublicKey('ed25519', expectSecret(secretKey));
}

/** The 64-byte signature of a message. @throws CocosError CRYPTO_KEY_INVALID unless the key has 32 bytes */
export function sign(message: Uint8Array, secretKey: Uint8Array): Uint8Array {
  return ed25519.sign(message, expectSecret(secretKey));
}

/** Whether the signature is valid; false for keys and signatures of the wrong length or format. */
export function verify(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean {
  if (signature.length !== SIGNATURE_BYTES || publicKey.length !== SIGNING_KEY_BYTES) return false;
  return ed25519.verify(signature, message, publicKey, { zip215: false });
}

function expectSecret(secretKey: Uint8Array): Uint8Array {
  return expectLength(secretKey, SIGNING_KEY_BYTES, 'Ed25519 secret key', 'CRYPTO_KEY_INVALID');
}
