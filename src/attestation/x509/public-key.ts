import { bytesToHex } from '@noble/hashes/utils.js';
import { bitStringBytes, DerReader, integerContent, oidText, readOnly, TAG } from './der.ts';

/** Kinds of public keys in SubjectPublicKeyInfo (RFC 3279, RFC 5480, RFC 8410). */

const OID_EC = '1.2.840.10045.2.1';
const OID_RSA = '1.2.840.113549.1.1.1';
const OID_ED25519 = '1.3.101.112';
const OID_P256 = '1.2.840.10045.3.1.7';
const OID_P384 = '1.3.132.0.34';

export type PublicKey =
  | { readonly kind: 'P-256' | 'P-384'; readonly point: Uint8Array }
  | { readonly kind: 'ed25519'; readonly key: Uint8Array }
  | { readonly kind: 'rsa'; readonly modulus: Uint8Array; readonly exponent: Uint8Array };

const POINT_BYTES = { 'P-256': 65, 'P-384': 97 } as const;

function readRsa(bytes: Uint8Array): PublicKey {
  const reader = new DerReader(readOnly(bytes, TAG.sequence, 'RSA key').content);
  const magnitude = (what: string): Uint8Array => {
    const content = integerContent(reader.next(), what);
    return content[0] === 0 ? content.subarray(1) : content;
  };
  const key: PublicKey = { kind: 'rsa', modulus: magnitude('modulus'), exponent: magnitude('exponent') };
  reader.end('RSA key');
  return key;
}

/**
 * The key in a SubjectPublicKeyInfo; null when it is of another kind than those that evidence uses.
 *
 * @throws CocosError EVIDENCE_INVALID when it is not strict DER.
 */
export function parsePublicKey(spki: Uint8Array): PublicKey | null {
  const reader = new DerReader(readOnly(spki, TAG.sequence, 'public key').content);
  const algorithm = new DerReader(reader.expect(TAG.sequence, 'public key algorithm').content);
  const bits = bitStringBytes(reader.next(), 'public key');
  reader.end('public key');
  const oid = oidText(algorithm.next(), 'public key algorithm');
  if (oid === OID_RSA) {
    // RFC 3279 2.3.1: the parameters are NULL.
    if (algorithm.expect(TAG.null, 'RSA parameters').content.length !== 0) return null;
    algorithm.end('public key algorithm');
    return readRsa(bits);
  }
  if (oid === OID_ED25519) {
    algorithm.end('public key algorithm');
    return bits.length === 32 ? { kind: 'ed25519', key: bits } : null;
  }
  if (oid !== OID_EC || algorithm.done) return null;
  const curve = oidText(algorithm.next(), 'curve');
  algorithm.end('public key algorithm');
  const kind = curve === OID_P256 ? 'P-256' : curve === OID_P384 ? 'P-384' : null;
  if (kind === null || bits.length !== POINT_BYTES[kind] || bits[0] !== 0x04) return null;
  return { kind, point: bits };
}

/** Whether two SubjectPublicKeyInfo contain the same key, even if their parameters differ. */
export function sameKey(a: PublicKey | null, b: PublicKey | null): boolean {
  return a !== null && b !== null && keyText(a) === keyText(b);
}

/** One text for one key. */
export function keyText(key: PublicKey): string {
  switch (key.kind) {
    case 'rsa':
      return `rsa ${bytesToHex(key.modulus)} ${bytesToHex(key.exponent)}`;
    case 'ed25519':
      return `ed25519 ${bytesToHex(key.key)}`;
    default:
      return `${key.kind} ${bytesToHex(key.point)}`;
  }
}
