import type { AttestationCrypto, EcCurve, SignatureHash } from '../../crypto/crypto-port.ts';
import type { AlgorithmIdentifier, Certificate } from './certificate.ts';
import type { CertificateCache } from './certificate-cache.ts';
import { DerReader, integerContent, readOnly, TAG } from './der.ts';
import { isPssSha384 } from './profile.ts';

/** Signatures of certificates and revocation lists. */

/** The signed parts of a certificate or a revocation list. */
export interface Signed {
  readonly tbs: Uint8Array;
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly signature: Uint8Array;
}

/** Signature verification, and the cache of valid signatures. */
export interface SignatureContext {
  readonly crypto: AttestationCrypto;
  readonly cache: CertificateCache;
}

const ECDSA: Readonly<Record<string, SignatureHash>> = {
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
};
const RSA_PKCS1: Readonly<Record<string, SignatureHash>> = {
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
};
const OID_ED25519 = '1.3.101.112';
const PSS_SHA384_SALT_BYTES = 48;
const FIELD_BYTES: Readonly<Record<EcCurve, number>> = { 'P-256': 32, 'P-384': 48 };

/**
 * An ECDSA signature in DER as r ‖ s of fixed size, or null. Strict, so that a signature has a single encoding.
 *
 * @throws CocosError EVIDENCE_INVALID when it is not DER.
 */
export function ecdsaFromDer(der: Uint8Array, fieldBytes: number): Uint8Array | null {
  const reader = new DerReader(readOnly(der, TAG.sequence, 'ECDSA signature').content);
  const out = new Uint8Array(2 * fieldBytes);
  for (const index of [0, 1]) {
    const content = integerContent(reader.next(), 'ECDSA value');
    if ((content[0] ?? 0) >= 0x80) return null;
    const magnitude = content[0] === 0 ? content.subarray(1) : content;
    if (magnitude.length > fieldBytes) return null;
    out.set(magnitude, (index + 1) * fieldBytes - magnitude.length);
  }
  reader.end('ECDSA signature');
  return out;
}

function verifyBy(signed: Signed, { key }: Certificate, crypto: AttestationCrypto): boolean {
  const { tbs, signature, signatureAlgorithm } = signed;
  const { oid } = signatureAlgorithm;
  if (isPssSha384(signatureAlgorithm)) {
    return key?.kind === 'rsa' && crypto.verifyRsaPss('sha384', key, tbs, signature, PSS_SHA384_SALT_BYTES);
  }
  const rsaHash = RSA_PKCS1[oid];
  if (rsaHash !== undefined)
    return key?.kind === 'rsa' && crypto.verifyRsaPkcs1(rsaHash, key, tbs, signature);
  if (oid === OID_ED25519) return key?.kind === 'ed25519' && crypto.verifyEd25519(key.key, tbs, signature);
  const hash = ECDSA[oid];
  if (hash === undefined || (key?.kind !== 'P-256' && key?.kind !== 'P-384')) return false;
  const raw = ecdsaFromDer(signature, FIELD_BYTES[key.kind]);
  return raw !== null && crypto.verifyEcdsa(key.kind, hash, key.point, tbs, raw);
}

/** Whether the signature is by the issuer's key. Only a valid signature is cached. */
export function isSignedBy(signed: Signed, issuer: Certificate, context: SignatureContext): boolean {
  const { crypto, cache } = context;
  if (cache.knows(signed, issuer)) return true;
  try {
    if (!verifyBy(signed, issuer, crypto)) return false;
  } catch {
    // A signature or key that is not DER verifies nothing.
    return false;
  }
  cache.remember(signed, issuer);
  return true;
}
