import { concatBytes } from '@noble/hashes/utils.js';
import type { SignatureHash } from '../../crypto/crypto-port.ts';
import { BinaryReader } from '../encoding/binary-reader.ts';
import { type PublicKey, parsePublicKey } from '../x509/public-key.ts';
import {
  FIELD_BYTES,
  SIGNATURE_HASHES,
  schemeOf,
  TPM_ALG,
  TPM_CURVES,
  type TpmScheme,
} from './algorithms.ts';

/** TPMT_PUBLIC: the public area of a TPM key (TPM 2.0 Library specification, part 2). Integers are big-endian. */

const MAX_PUBLIC_BYTES = 4096;
const DEFAULT_EXPONENT = 65_537;
/** TPMA_OBJECT. */
const FIXED_TPM = 1 << 1;
const RESTRICTED = 1 << 16;
const DECRYPT = 1 << 17;
const SIGN = 1 << 18;

/** The key that signs quotes, as the verifier uses it. */
export interface AttestationKey {
  readonly key: PublicKey;
  /** Scheme and hash declared by the key; null if it does not fix them or is not a TPM structure. */
  readonly declared: { readonly scheme: TpmScheme; readonly hash: SignatureHash | null } | null;
  /** Attributes that make its quotes untrustworthy; null if the attributes are unknown. */
  readonly problems: readonly string[] | null;
}

function attributeProblems(attributes: number): string[] {
  const problems: string[] = [];
  if ((attributes & RESTRICTED) === 0) problems.push('not restricted: it can sign arbitrary data');
  if ((attributes & SIGN) === 0) problems.push('not a signing key');
  if ((attributes & DECRYPT) !== 0) problems.push('it can also decrypt');
  if ((attributes & FIXED_TPM) === 0) problems.push('it can be exported from its TPM');
  return problems;
}

/** A number as big-endian bytes without leading zeros. */
function magnitude(value: number): Uint8Array {
  const bytes = [value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
  return Uint8Array.from(bytes.slice(bytes.findIndex((byte) => byte !== 0)));
}

/** A scheme and its hash; none if the key does not fix them. */
function readScheme(reader: BinaryReader): AttestationKey['declared'] {
  const id = reader.u16('scheme');
  if (id === TPM_ALG.null) return null;
  const scheme = schemeOf(id);
  if (scheme === undefined) throw reader.error(`scheme 0x${id.toString(16)} does not sign quotes`);
  return { scheme, hash: SIGNATURE_HASHES[reader.u16('hash of the scheme')] ?? null };
}

function skipSymmetric(reader: BinaryReader): void {
  if (reader.u16('symmetric algorithm') !== TPM_ALG.null) throw reader.error('it is a storage key');
}

function readRsa(reader: BinaryReader): Omit<AttestationKey, 'problems'> {
  const declared = readScheme(reader);
  const bits = reader.u16('key bits');
  const exponent = reader.u32('exponent');
  const modulus = reader.bytes(reader.u16('modulus size'), 'modulus');
  reader.end();
  if (modulus.length * 8 !== bits || bits < 2048) throw reader.error(`an RSA key of ${bits} bits`);
  const key = {
    kind: 'rsa',
    modulus,
    exponent: magnitude(exponent === 0 ? DEFAULT_EXPONENT : exponent),
  } as const;
  return { key, declared };
}

function readEcc(reader: BinaryReader): Omit<AttestationKey, 'problems'> {
  const declared = readScheme(reader);
  const curve = TPM_CURVES[reader.u16('curve')];
  if (curve === undefined) throw reader.error('the curve is neither P-256 nor P-384');
  if (reader.u16('key derivation') !== TPM_ALG.null) reader.u16('hash of the key derivation');
  const coordinate = (what: string): Uint8Array => {
    const value = reader.bytes(reader.u16(`${what} size`), what);
    const field = new Uint8Array(FIELD_BYTES[curve]);
    if (value.length > field.length) throw reader.error(`${what} is too long`);
    field.set(value, field.length - value.length);
    return field;
  };
  const point = concatBytes(Uint8Array.of(0x04), coordinate('x'), coordinate('y'));
  reader.end();
  return { key: { kind: curve, point }, declared };
}

/**
 * Reads an RSA or ECC signing key.
 *
 * @param bytes TPMT_PUBLIC, or TPM2B_PUBLIC as tools write it: the same behind its size.
 * @throws CocosError EVIDENCE_INVALID
 */
export function parsePublicArea(bytes: Uint8Array): AttestationKey {
  const whole = new BinaryReader(bytes, 'TPM public area', 'big');
  if (bytes.length > MAX_PUBLIC_BYTES) throw whole.error(`larger than ${MAX_PUBLIC_BYTES} bytes`);
  const first = whole.u16('type or size');
  const sized = first === bytes.length - 2;
  const reader = sized ? new BinaryReader(bytes.subarray(2), 'TPM public area', 'big') : whole;
  const type = sized ? reader.u16('type') : first;
  reader.u16('name algorithm');
  const problems = attributeProblems(reader.u32('attributes'));
  reader.bytes(reader.u16('policy size'), 'policy');
  if (type !== TPM_ALG.rsa && type !== TPM_ALG.ecc)
    throw reader.error(`a key of type 0x${type.toString(16)}`);
  skipSymmetric(reader);
  return { ...(type === TPM_ALG.rsa ? readRsa(reader) : readEcc(reader)), problems };
}

/**
 * A key from a SubjectPublicKeyInfo: its TPM attributes are not known.
 *
 * @throws CocosError EVIDENCE_INVALID when it is of a kind that does not sign quotes.
 */
export function attestationKeyFromSpki(spki: Uint8Array): AttestationKey {
  const key = parsePublicKey(spki);
  const reader = new BinaryReader(spki, 'attestation key', 'big');
  if (key === null || key.kind === 'ed25519')
    throw reader.error('it is neither RSA nor ECC on P-256 or P-384');
  return { key, declared: null, problems: null };
}
