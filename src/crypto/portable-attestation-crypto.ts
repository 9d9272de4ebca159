import { ed25519 } from '@noble/curves/ed25519.js';
import { p256, p384 } from '@noble/curves/nist.js';
import { sha1 } from '@noble/hashes/legacy.js';
import { sha256, sha384, sha512 } from '@noble/hashes/sha2.js';
import type { AttestationCrypto } from './crypto-port.ts';
import { rsaPkcs1Verify, rsaPssVerify } from './rsa-verify.ts';

/**
 * The verifier's port without native code: for browsers, whose built-in cryptography is asynchronous, and for tests that
 * compare the native port with a second one. Published as `cocosai/attestation/portable`.
 */

const CURVES = { 'P-256': p256, 'P-384': p384 } as const;
const FIELD_BYTES = { 'P-256': 32, 'P-384': 48 } as const;
const HASHES = { sha256, sha384, sha512 } as const;

/** A malformed key is a failed check, never an exception. */
function safely(check: () => boolean): boolean {
  try {
    return check();
  } catch {
    return false;
  }
}

const isTorsionFree = (point: Uint8Array): boolean => ed25519.Point.fromBytes(point, false).isTorsionFree();

export const portableAttestationCrypto: AttestationCrypto = {
  sha1,
  sha256,
  sha384,
  sha512,
  verifyEcdsa(curve, hash, point, message, signature) {
    const field = FIELD_BYTES[curve];
    if (point.length !== 2 * field + 1 || point[0] !== 0x04 || signature.length !== 2 * field) return false;
    const digest = HASHES[hash](message);
    // Hardware does not choose the lower of the two values of s, so high values must be accepted.
    return safely(() => CURVES[curve].verify(signature, digest, point, { prehash: false, lowS: false }));
  },
  verifyRsaPss: (hash, key, message, signature, saltBytes) =>
    safely(() => rsaPssVerify(HASHES[hash], key, message, signature, saltBytes)),
  verifyRsaPkcs1: (hash, key, message, signature) =>
    safely(() => rsaPkcs1Verify(hash, HASHES[hash], key, message, signature)),
  // Without parts of small order, the equation with the cofactor and the one without it, OpenSSL's, are the same.
  verifyEd25519: (publicKey, message, signature) =>
    safely(
      () =>
        isTorsionFree(publicKey) &&
        isTorsionFree(signature.subarray(0, 32)) &&
        ed25519.verify(signature, message, publicKey, { zip215: false }),
    ),
};
