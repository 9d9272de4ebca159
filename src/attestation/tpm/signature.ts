import type { AttestationCrypto, SignatureHash } from '../../crypto/crypto-port.ts';
import { BinaryReader } from '../encoding/binary-reader.ts';
import { ecdsaFromDer } from '../x509/signature.ts';
import { FIELD_BYTES, SIGNATURE_HASHES, schemeOf, type TpmScheme } from './algorithms.ts';
import type { AttestationKey } from './public-area.ts';

/** TPMT_SIGNATURE (TPM 2.0 Library specification, part 2), or the raw formats that tools write. */

const MAX_SIGNATURE_BYTES = 2048;

export interface TpmSignature {
  /** Null for a raw signature, which does not contain it. */
  readonly scheme: TpmScheme | null;
  /** Null if the structure names no hash or a weak one. */
  readonly hash: SignatureHash | null;
  /** Number of the hash where the structure names one. */
  readonly hashId: number | null;
  /** RSA: the signature; ECDSA: r ‖ s of the size of the field. */
  readonly value: Uint8Array;
}

function readStructure(bytes: Uint8Array, key: AttestationKey): TpmSignature | null {
  const reader = new BinaryReader(bytes, 'TPM signature', 'big');
  const scheme = schemeOf(reader.u16('scheme'));
  if (scheme === undefined) return null;
  const hashId = reader.u16('hash');
  const sized = (field: string): Uint8Array => reader.bytes(reader.u16(`${field} size`), field);
  const base = { scheme, hash: SIGNATURE_HASHES[hashId] ?? null, hashId };
  if (scheme !== 'ecdsa') {
    const value = sized('signature');
    reader.end();
    return { ...base, value };
  }
  const fieldBytes = key.key.kind === 'P-384' ? FIELD_BYTES['P-384'] : FIELD_BYTES['P-256'];
  const value = new Uint8Array(2 * fieldBytes);
  for (const index of [0, 1]) {
    const part = sized('ECDSA value');
    if (part.length > fieldBytes) throw reader.error('an ECDSA value is longer than the field');
    value.set(part, (index + 1) * fieldBytes - part.length);
  }
  reader.end();
  return { ...base, value };
}

function readPlain(bytes: Uint8Array, { key }: AttestationKey): TpmSignature | null {
  const plain = { scheme: null, hash: null, hashId: null };
  if (key.kind === 'rsa') return bytes.length === key.modulus.length ? { ...plain, value: bytes } : null;
  if (key.kind === 'ed25519') return null;
  const fieldBytes = FIELD_BYTES[key.kind];
  if (bytes.length === 2 * fieldBytes) return { ...plain, value: bytes };
  if (bytes[0] !== 0x30) return null;
  const value = ecdsaFromDer(bytes, fieldBytes);
  return value === null ? null : { ...plain, value };
}

/**
 * Reads a signature: a TPMT_SIGNATURE, or the plain bytes of an RSA or ECDSA signature.
 *
 * @throws CocosError EVIDENCE_INVALID
 */
export function parseTpmSignature(bytes: Uint8Array, key: AttestationKey): TpmSignature {
  const reader = new BinaryReader(bytes, 'TPM signature', 'big');
  if (bytes.length > MAX_SIGNATURE_BYTES) throw reader.error(`larger than ${MAX_SIGNATURE_BYTES} bytes`);
  // A raw RSA signature is recognised by its size: a structure is always longer.
  const signature = readPlain(bytes, key) ?? readStructure(bytes, key);
  if (signature === null) throw reader.error('neither a TPMT_SIGNATURE nor a raw signature of this key');
  return signature;
}

/** Whether the signature over `message` is by `key`, with this scheme and hash. */
export function verifyTpmSignature(
  scheme: TpmScheme,
  hash: SignatureHash,
  key: AttestationKey,
  message: Uint8Array,
  signature: Uint8Array,
  crypto: AttestationCrypto,
): boolean {
  const { key: own } = key;
  switch (scheme) {
    case 'rsassa':
      return own.kind === 'rsa' && crypto.verifyRsaPkcs1(hash, own, message, signature);
    case 'rsapss':
      return own.kind === 'rsa' && crypto.verifyRsaPss(hash, own, message, signature, null);
    case 'ecdsa':
      return (
        (own.kind === 'P-256' || own.kind === 'P-384') &&
        crypto.verifyEcdsa(own.kind, hash, own.point, message, signature)
      );
  }
}
