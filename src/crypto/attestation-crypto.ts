import { constants, createPublicKey, hash, type KeyObject, verify } from 'node:crypto';
import { ed25519 } from '@noble/curves/ed25519.js';
import type { AttestationCrypto, EcCurve, RsaPublicKey } from './crypto-port.ts';

const CURVES: Readonly<Record<EcCurve, { readonly pointBytes: number; readonly signatureBytes: number }>> = {
  'P-256': { pointBytes: 65, signatureBytes: 64 },
  'P-384': { pointBytes: 97, signatureBytes: 96 },
};
/** DER of SubjectPublicKeyInfo up to the uncompressed point (RFC 5480). */
const P384_SPKI_PREFIX = Buffer.from('3076301006072a8648ce3d020106052b81040022036200', 'hex');
/** Accepted RSA key sizes: smaller keys are weak, larger ones could exhaust a verifier. */
const RSA_MODULUS_BYTES = { least: 256, most: 1024 } as const;
const RSA_EXPONENT_BYTES = 4;
/** DER of SubjectPublicKeyInfo up to the 32 bytes of an Ed25519 key (RFC 8410). */
const ED25519_SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');
const ED25519_KEY_BYTES = 32;
const ED25519_SIGNATURE_BYTES = 64;
const DEFAULT_KEYS = 256;

function digest(algorithm: string, data: Uint8Array): Uint8Array {
  const { buffer, byteOffset, length } = hash(algorithm, data, 'buffer');
  return new Uint8Array(buffer, byteOffset, length);
}

/** The key, or null if OpenSSL refuses it: a hostile key is a failed check, never an exception. */
function loadDer(spki: Uint8Array): KeyObject | null {
  try {
    return createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  } catch {
    return null;
  }
}

const base64Url = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url');

/** P-256 loads faster as JSON Web Key than as DER. P-384 loads slower, since its point check is slower there. */
function loadPoint(curve: EcCurve, point: Uint8Array): KeyObject | null {
  if (curve === 'P-384') return loadDer(Buffer.concat([P384_SPKI_PREFIX, point]));
  const x = base64Url(point.subarray(1, 33));
  const y = base64Url(point.subarray(33));
  try {
    return createPublicKey({ key: { kty: 'EC', crv: curve, x, y }, format: 'jwk' });
  } catch {
    return null;
  }
}

/** An odd number of at least 3: with 1, every message is its own signature (RFC 8017 section 3.1). */
function isRsaExponent(exponent: Uint8Array): boolean {
  const value = exponent.reduce((number, byte) => number * 256 + byte, 0);
  return exponent.length <= RSA_EXPONENT_BYTES && value >= 3 && value % 2 === 1;
}

/**
 * Points of small order verify signatures that nobody made, and those with a part of small order verify by some
 * implementations and not by others, so they are no keys; OpenSSL accepts them.
 */
function loadEd25519(key: Uint8Array): KeyObject | null {
  try {
    const point = ed25519.Point.fromBytes(key, false);
    if (point.isSmallOrder() || !point.isTorsionFree()) return null;
  } catch {
    return null;
  }
  return loadDer(Buffer.concat([ED25519_SPKI_PREFIX, key]));
}

/** RSA keys load much faster as JSON Web Key than as DER. */
function loadRsa({ modulus, exponent }: RsaPublicKey): KeyObject | null {
  const { least, most } = RSA_MODULUS_BYTES;
  if (modulus.length < least || modulus.length > most || !isRsaExponent(exponent)) return null;
  // With zeros in front it is shorter than it looks, and no product of odd primes is even.
  if (modulus[0] === 0 || (modulus.at(-1) ?? 0) % 2 === 0) return null;
  const key = { kty: 'RSA', n: base64Url(modulus), e: base64Url(exponent) };
  try {
    return createPublicKey({ key, format: 'jwk' });
  } catch {
    return null;
  }
}

function safely(check: () => boolean): boolean {
  try {
    return check();
  } catch {
    return false;
  }
}

/**
 * The verifier's port on node:crypto. Loading a key can cost as much as verifying with it, and authority keys recur, so
 * the most recent ones stay loaded.
 *
 * @param limit maximum number of loaded keys
 */
export function createAttestationCrypto(limit: number = DEFAULT_KEYS): AttestationCrypto {
  const loaded = new Map<string, KeyObject>();
  const keyOf = (id: string, load: () => KeyObject | null): KeyObject | null => {
    const before = loaded.get(id);
    if (before !== undefined) return before;
    const key = load();
    if (key === null) return null;
    const [oldest] = loaded.size >= limit ? loaded.keys() : [];
    if (oldest !== undefined) loaded.delete(oldest);
    if (limit > 0) loaded.set(id, key);
    return key;
  };
  const latin1 = (bytes: Uint8Array): string =>
    Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
  const pointKey = (curve: EcCurve, point: Uint8Array): KeyObject | null =>
    keyOf(`ec ${latin1(point)}`, () => loadPoint(curve, point));
  const edKey = (key: Uint8Array): KeyObject | null => keyOf(`ed ${latin1(key)}`, () => loadEd25519(key));
  /** The length keeps a byte of the exponent from being read as one of the modulus. */
  const rsaId = ({ exponent, modulus }: RsaPublicKey): string =>
    `rsa ${exponent.length} ${latin1(exponent)}${latin1(modulus)}`;
  /** RFC 8017 8.1.2 and 8.2.2, step 1: a signature is as long as the modulus. OpenSSL accepts shorter ones with PSS. */
  const rsaKey = (key: RsaPublicKey, signature: Uint8Array): KeyObject | null =>
    signature.length === key.modulus.length ? keyOf(rsaId(key), () => loadRsa(key)) : null;
  return {
    sha1: (data) => digest('sha1', data),
    sha256: (data) => digest('sha256', data),
    sha384: (data) => digest('sha384', data),
    sha512: (data) => digest('sha512', data),

    verifyEcdsa(curve, hashName, point, message, signature) {
      const { pointBytes, signatureBytes } = CURVES[curve];
      const fits = signature.length === signatureBytes && point.length === pointBytes && point[0] === 0x04;
      const key = fits ? pointKey(curve, point) : null;
      if (key === null) return false;
      return safely(() => verify(hashName, message, { key, dsaEncoding: 'ieee-p1363' }, signature));
    },

    verifyRsaPss(hashName, publicKey, message, signature, saltBytes) {
      const key = rsaKey(publicKey, signature);
      if (key === null) return false;
      const padding = constants.RSA_PKCS1_PSS_PADDING;
      const saltLength = saltBytes ?? constants.RSA_PSS_SALTLEN_AUTO;
      return safely(() => verify(hashName, message, { key, padding, saltLength }, signature));
    },

    verifyRsaPkcs1(hashName, publicKey, message, signature) {
      const key = rsaKey(publicKey, signature);
      if (key === null) return false;
      const padding = constants.RSA_PKCS1_PADDING;
      return safely(() => verify(hashName, message, { key, padding }, signature));
    },

    verifyEd25519(publicKey, message, signature) {
      if (publicKey.length !== ED25519_KEY_BYTES || signature.length !== ED25519_SIGNATURE_BYTES)
        return false;
      const key = edKey(publicKey);
      return key !== null && safely(() => verify(null, message, key, signature));
    },
  };
}

/** The port shared by the whole process. */
export const attestationCrypto: AttestationCrypto = createAttestationCrypto();
