import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { encode } from 'cborg';
import { keyIdentifier } from '../../src/attestation/dice/identifier.ts';
import { element, explicit, octetString, oid, sequence, set } from '../../src/attestation/x509/der-writer.ts';
import { parsePublicKey } from '../../src/attestation/x509/public-key.ts';
import { attestationCrypto } from '../../src/crypto/attestation-crypto.ts';
import { authority, type Extension, issue } from './x509-issuer.ts';

/** Correctly signed layers of a DICE chain, in both formats. */

const DAY = 86_400_000;
export const AT = Date.parse('2026-06-01T00:00:00Z');
const utf8 = (text: string) => new TextEncoder().encode(text);

export const newKey = (curve?: 'P-256' | 'P-384'): KeyObject =>
  curve === undefined
    ? generateKeyPairSync('ed25519').privateKey
    : generateKeyPairSync('ec', { namedCurve: curve }).privateKey;

const spki = (key: KeyObject): Uint8Array =>
  new Uint8Array(createPublicKey(key).export({ format: 'der', type: 'spki' }));

/** Raw Ed25519 key or uncompressed point. */
export function rawKey(key: KeyObject): Uint8Array {
  const parsed = parsePublicKey(spki(key));
  if (parsed?.kind === 'ed25519') return parsed.key;
  if (parsed?.kind === 'P-256' || parsed?.kind === 'P-384') return parsed.point;
  throw new Error('no key of DICE');
}

export function idOf(key: KeyObject): string {
  const parsed = parsePublicKey(spki(key));
  return (parsed === null ? null : keyIdentifier(parsed, attestationCrypto)) ?? '';
}

export interface Layer {
  /** Signs this layer's certificate. */
  readonly issuerKey: KeyObject;
  readonly subjectKey: KeyObject;
  readonly issuer?: string;
  readonly subject?: string;
  readonly codeHash?: Uint8Array;
  readonly configHash?: Uint8Array;
  readonly descriptor?: Uint8Array;
  readonly authorityHash?: Uint8Array;
  /** Of basicConstraints, in X.509. */
  readonly pathLength?: number;
  readonly mode?: number;
  readonly keyUsage?: number;
  readonly notAfter?: number;
}

const CODE = new Uint8Array(64).fill(0xc0);
const AUTHORITY_HASH = new Uint8Array(64).fill(0xa0);

function coseKey(key: KeyObject): Map<number, unknown> {
  const raw = rawKey(key);
  if (raw.length === 32) {
    return new Map<number, unknown>([
      [1, 1],
      [3, -8],
      [4, [2]],
      [-1, 6],
      [-2, raw],
    ]);
  }
  const half = (raw.length - 1) / 2;
  const [alg, curve] = half === 32 ? [-7, 1] : [-35, 2];
  return new Map<number, unknown>([
    [1, 2],
    [3, alg],
    [4, [2]],
    [-1, curve],
    [-2, raw.subarray(1, 1 + half)],
    [-3, raw.subarray(1 + half)],
  ]);
}

function coseSign(message: Uint8Array, key: KeyObject): Uint8Array {
  if (key.asymmetricKeyType === 'ed25519') return new Uint8Array(sign(null, message, key));
  const hash = rawKey(key).length === 65 ? 'sha256' : 'sha384';
  return new Uint8Array(sign(hash, message, { key, dsaEncoding: 'ieee-p1363' }));
}

const algorithmOf = (key: KeyObject): number => {
  if (key.asymmetricKeyType === 'ed25519') return -8;
  return rawKey(key).length === 65 ? -7 : -35;
};

/** Bytes of a certificate in CBOR. */
export function cborLayer(layer: Layer): Uint8Array {
  const config: readonly (readonly [number, Uint8Array])[] = [
    ...(layer.configHash === undefined ? [] : [[-4670547, layer.configHash] as const]),
    [-4670548, layer.descriptor ?? new Uint8Array(64)],
  ];
  const claims = new Map<number, unknown>([
    [1, layer.issuer ?? idOf(layer.issuerKey)],
    [2, layer.subject ?? idOf(layer.subjectKey)],
    [-4670545, layer.codeHash ?? CODE],
    ...config,
    [-4670549, layer.authorityHash ?? AUTHORITY_HASH],
    [-4670551, Uint8Array.of(layer.mode ?? 1)],
    [-4670552, encode(coseKey(layer.subjectKey))],
    [-4670553, Uint8Array.of(layer.keyUsage ?? 0x20)],
  ]);
  const header = encode(new Map([[1, algorithmOf(layer.issuerKey)]]));
  const payload = encode(claims);
  const message = encode(['Signature1', header, new Uint8Array(), payload]);
  return new Uint8Array(encode([header, new Map(), payload, coseSign(message, layer.issuerKey)]));
}

const serialName = (id: string): Uint8Array =>
  sequence(set(sequence(oid('2.5.4.5'), element(0x13, utf8(id)))));

export function openDice(layer: Layer): Extension {
  const field = (n: number, bytes: Uint8Array) => explicit(n, octetString(bytes));
  const value = sequence(
    field(0, layer.codeHash ?? CODE),
    ...(layer.configHash === undefined ? [] : [field(2, layer.configHash)]),
    field(3, layer.descriptor ?? new Uint8Array(64)),
    field(4, layer.authorityHash ?? AUTHORITY_HASH),
    explicit(6, Uint8Array.of(0x0a, 1, layer.mode ?? 1)),
  );
  return { oid: '1.3.6.1.4.1.11129.2.1.24', critical: true, value };
}

/** TCG's TCB info with one digest and any number of flags, in place of the profile's extension. */
export function tcgTcbInfo(digest: Uint8Array, ...flags: readonly number[]): Extension {
  const fwid = sequence(oid('2.16.840.1.101.3.4.2.1'), octetString(digest));
  const fields = flags.map((each) => element(0x87, Uint8Array.of(0, each)));
  return { oid: '2.23.133.5.4.1', critical: true, value: sequence(element(0xa6, fwid), ...fields) };
}

/** DER of a certificate in X.509, with the extensions that describe its layer. */
export function x509Layer(layer: Layer, ...described: readonly Extension[]): Uint8Array {
  const issuer = layer.issuer ?? idOf(layer.issuerKey);
  const subject = layer.subject ?? idOf(layer.subjectKey);
  return issue({
    subject: serialName(subject),
    issuer: { name: serialName(issuer), key: layer.issuerKey },
    serial: new Uint8Array(Buffer.from(subject, 'hex')),
    validity: { notBefore: AT - DAY, notAfter: layer.notAfter ?? AT + DAY },
    publicKey: createPublicKey(layer.subjectKey),
    extensions: [
      ...authority(layer.pathLength),
      { oid: '2.5.29.14', value: octetString(new Uint8Array(Buffer.from(subject, 'hex'))) },
      { oid: '2.5.29.35', value: sequence(element(0x80, new Uint8Array(Buffer.from(issuer, 'hex')))) },
      ...(described.length === 0 ? [openDice(layer)] : described),
    ],
  });
}
