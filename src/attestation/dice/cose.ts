import { bytesToHex, concatBytes } from '@noble/hashes/utils.js';
import { decode, decodeFirst, encode, rfc8949EncodeOptions } from 'cborg';
import { CocosError } from '../../errors.ts';
import { sameBytes } from '../encoding/bytes.ts';
import type { PublicKey } from '../x509/public-key.ts';
import type { SignatureScheme } from './layer.ts';

/** COSE_Sign1 and COSE_Key (RFC 9052, RFC 9053) as the Open Profile for DICE uses them. */

const MAX_COSE_BYTES = 16 * 1024;
const OPTIONS = {
  useMaps: true,
  strict: true,
  allowIndefinite: false,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  rejectDuplicateMapKeys: true,
} as const;

const KEY_TYPE_OKP = 1;
const KEY_TYPE_EC2 = 2;
const CURVES = { p256: 1, p384: 2, ed25519: 6 } as const;
const LABEL = { alg: 1, keyId: 4, keyType: 1, ownId: 2, keyAlg: 3, curve: -1, x: -2, y: -3 } as const;
/** The algorithm of each kind of key, where the key names one (RFC 9053 section 2; fully specified ones of RFC 9864). */
const KEY_ALGORITHMS: Readonly<Record<PublicKey['kind'], readonly number[]>> = {
  ed25519: [-8, -19],
  'P-256': [-7, -9],
  'P-384': [-35, -51],
  rsa: [],
};
const SCHEMES: Readonly<Record<number, SignatureScheme>> = {
  [-8]: { kind: 'ed25519' },
  [-7]: { kind: 'P-256', hash: 'sha256' },
  [-35]: { kind: 'P-384', hash: 'sha384' },
};

export const coseError = (sentence: string, cause?: unknown): CocosError =>
  new CocosError('EVIDENCE_INVALID', `COSE: ${sentence}`, { cause });

/** Decodes one CBOR item; maps become `Map`s. @throws CocosError EVIDENCE_INVALID */
export function decodeCbor(bytes: Uint8Array, what: string): unknown {
  if (bytes.length > MAX_COSE_BYTES) throw coseError(`${what} is larger than ${MAX_COSE_BYTES} bytes`);
  try {
    const value: unknown = decode(bytes, OPTIONS);
    if (!sameBytes(new Uint8Array(encode(value, rfc8949EncodeOptions)), bytes))
      throw coseError(
        `${what} is not in deterministic encoding (RFC 8949 4.2.1): keys sorted, shortest lengths`,
      );
    return value;
  } catch (cause) {
    throw cause instanceof CocosError ? cause : coseError(`${what} is not CBOR`, cause);
  }
}

/** Splits a sequence of CBOR items (RFC 8742) into the bytes of each. @throws CocosError EVIDENCE_INVALID */
export function splitCborSequence(bytes: Uint8Array, limit: number): Uint8Array[] {
  const items: Uint8Array[] = [];
  let rest = bytes;
  while (rest.length > 0) {
    if (items.length === limit) throw coseError(`more than ${limit} items`);
    let after: Uint8Array;
    try {
      [, after] = decodeFirst(rest, OPTIONS);
    } catch (cause) {
      throw coseError('a sequence contains an item that is not CBOR', cause);
    }
    items.push(rest.subarray(0, rest.length - after.length));
    rest = rest.subarray(rest.length - after.length);
  }
  return items;
}

export function asMap(value: unknown, what: string): ReadonlyMap<unknown, unknown> {
  if (!(value instanceof Map)) throw coseError(`${what} is not a map`);
  return value;
}

export function asBytes(value: unknown, what: string): Uint8Array {
  if (!(value instanceof Uint8Array)) throw coseError(`${what} is not a byte string`);
  return value;
}

export interface CoseSign1 {
  readonly payload: Uint8Array;
  /** Sig_structure: the signed bytes (RFC 9052 section 4.4). */
  readonly message: Uint8Array;
  readonly signature: Uint8Array;
  readonly scheme: SignatureScheme;
}

/**
 * Reads an untagged COSE_Sign1 with at most a key id in its unprotected header.
 *
 * @throws CocosError EVIDENCE_INVALID
 */
export function parseSign1(bytes: Uint8Array): CoseSign1 {
  const value = decodeCbor(bytes, 'a certificate');
  if (!Array.isArray(value) || value.length !== 4) throw coseError('a certificate is not a COSE_Sign1');
  const [first, unprotectedHeader, second, third]: unknown[] = value;
  const header = asBytes(first, 'protected header');
  const payload = asBytes(second, 'payload');
  const signature = asBytes(third, 'signature');
  // A key id only helps to find a key; nothing else may be there, since nobody signed it.
  const unsigned = asMap(unprotectedHeader, 'unprotected header');
  if (unsigned.size > 1 || (unsigned.size === 1 && !(unsigned.get(LABEL.keyId) instanceof Uint8Array)))
    throw coseError('the unprotected header holds more than a key id');
  const protectedHeader = asMap(decodeCbor(header, 'protected header'), 'protected header');
  const scheme = SCHEMES[Number(protectedHeader.get(LABEL.alg))];
  if (protectedHeader.size !== 1 || scheme === undefined)
    throw coseError('the signature algorithm is unknown');
  const message = new Uint8Array(encode(['Signature1', header, new Uint8Array(), payload]));
  return { payload, message, signature, scheme };
}

/**
 * Reads a COSE_Key of a kind that signs.
 *
 * @throws CocosError EVIDENCE_INVALID
 */
export function parseCoseKey(bytes: Uint8Array): PublicKey {
  const map = asMap(decodeCbor(bytes, 'a key'), 'a key');
  const key = keyOf(map);
  const algorithm = map.get(LABEL.keyAlg);
  if (algorithm !== undefined && !KEY_ALGORITHMS[key.kind].some((known) => known === algorithm))
    throw coseError(`a key of kind ${key.kind} names algorithm ${String(algorithm)}`);
  return key;
}

/** The identifier that a COSE_Key gives itself (kid), hex; null without one. @throws CocosError EVIDENCE_INVALID */
export function coseKeyId(bytes: Uint8Array): string | null {
  const id = asMap(decodeCbor(bytes, 'a key'), 'a key').get(LABEL.ownId);
  return id === undefined ? null : bytesToHex(asBytes(id, 'a key id'));
}

function keyOf(key: ReadonlyMap<unknown, unknown>): PublicKey {
  const type = key.get(LABEL.keyType);
  const curve = key.get(LABEL.curve);
  const coordinate = (label: number, size: number): Uint8Array => {
    const value = asBytes(key.get(label), 'a coordinate');
    if (value.length !== size) throw coseError(`a coordinate of ${value.length} bytes`);
    return value;
  };
  if (type === KEY_TYPE_OKP && curve === CURVES.ed25519)
    return { kind: 'ed25519', key: coordinate(LABEL.x, 32) };
  if (type === KEY_TYPE_EC2 && (curve === CURVES.p256 || curve === CURVES.p384)) {
    const kind = curve === CURVES.p256 ? 'P-256' : 'P-384';
    const size = kind === 'P-256' ? 32 : 48;
    const point = concatBytes(Uint8Array.of(0x04), coordinate(LABEL.x, size), coordinate(LABEL.y, size));
    return { kind, point };
  }
  throw coseError('a key of an unknown kind');
}
