import {
  constants,
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from 'node:crypto';
import { derNull, explicit, integer, oid, sequence } from '../../../src/attestation/x509/der-writer.ts';

/** Keys and signature schemes of generated chains, weak and unusual ones included. */

export type KeyKind = 'rsa' | 'rsa-1024' | 'p256' | 'p384' | 'p521' | 'secp256k1' | 'ed25519';

function create(kind: KeyKind): KeyObject {
  switch (kind) {
    case 'rsa':
      return generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    case 'rsa-1024':
      return generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey;
    case 'ed25519':
      return generateKeyPairSync('ed25519').privateKey;
    default: {
      const curves = { p256: 'P-256', p384: 'P-384', p521: 'P-521', secp256k1: 'secp256k1' };
      return generateKeyPairSync('ec', { namedCurve: curves[kind] }).privateKey;
    }
  }
}

const pools = new Map<KeyKind, KeyObject[]>();
const POOL = 5;

function pooled(kind: KeyKind, at: number): KeyObject {
  const pool = pools.get(kind) ?? [];
  pools.set(kind, pool);
  pool[at] ??= create(kind);
  return pool[at];
}

/** One of a few keys of a kind: keys take longer to make than certificates, and which one it is decides nothing. */
export const keyOf = (kind: KeyKind, index: number): KeyObject => pooled(kind, index % POOL);

/** A key that no certificate has from the start. */
export const otherKey = (kind: KeyKind): KeyObject => pooled(kind, POOL);

export const spkiOf = (key: KeyObject): Uint8Array =>
  new Uint8Array(createPublicKey(key).export({ format: 'der', type: 'spki' }));

/** Key identifier: any bytes that differ between keys (RFC 5280 4.2.1.2). */
export const keyId = (spki: Uint8Array): Uint8Array =>
  new Uint8Array(createHash('sha1').update(spki).digest());

export interface Scheme {
  /** DER of the AlgorithmIdentifier. */
  readonly algorithm: Uint8Array;
  readonly sign: (tbs: Uint8Array, key: KeyObject) => Uint8Array;
}

const HASH_OID = { sha256: '2.16.840.1.101.3.4.2.1', sha384: '2.16.840.1.101.3.4.2.2' };

const rsa = (hash: string, id: string): Scheme => ({
  algorithm: sequence(oid(id), derNull()),
  sign: (tbs, key) => new Uint8Array(sign(hash, tbs, key)),
});

function pss(hash: 'sha256' | 'sha384', salt: number): Scheme {
  const digest = sequence(oid(HASH_OID[hash]), derNull());
  return {
    algorithm: sequence(
      oid('1.2.840.113549.1.1.10'),
      sequence(
        explicit(0, digest),
        explicit(1, sequence(oid('1.2.840.113549.1.1.8'), digest)),
        explicit(2, integer(salt)),
      ),
    ),
    sign: (tbs, key) =>
      new Uint8Array(sign(hash, tbs, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: salt })),
  };
}

const ecdsa = (hash: string, id: string): Scheme => ({
  algorithm: sequence(oid(id)),
  sign: (tbs, key) => new Uint8Array(sign(hash, tbs, key)),
});

export const SCHEMES = {
  'rsa-sha1': rsa('sha1', '1.2.840.113549.1.1.5'),
  'rsa-sha224': rsa('sha224', '1.2.840.113549.1.1.14'),
  'rsa-sha256': rsa('sha256', '1.2.840.113549.1.1.11'),
  'rsa-sha384': rsa('sha384', '1.2.840.113549.1.1.12'),
  'rsa-sha512': rsa('sha512', '1.2.840.113549.1.1.13'),
  'pss-sha256': pss('sha256', 32),
  'pss-sha384': pss('sha384', 48),
  'pss-sha384-salt-32': pss('sha384', 32),
  'ecdsa-sha1': ecdsa('sha1', '1.2.840.10045.4.1'),
  'ecdsa-sha224': ecdsa('sha224', '1.2.840.10045.4.3.1'),
  'ecdsa-sha256': ecdsa('sha256', '1.2.840.10045.4.3.2'),
  'ecdsa-sha384': ecdsa('sha384', '1.2.840.10045.4.3.3'),
  'ecdsa-sha512': ecdsa('sha512', '1.2.840.10045.4.3.4'),
  ed25519: {
    algorithm: sequence(oid('1.3.101.112')),
    sign: (tbs, key) => new Uint8Array(sign(null, tbs, key)),
  },
} as const satisfies Readonly<Record<string, Scheme>>;

export type SchemeName = keyof typeof SCHEMES;

/** Schemes that both validators are to accept, by kind of key. */
export const USUAL: Readonly<Record<'rsa' | 'p256' | 'p384' | 'ed25519', readonly SchemeName[]>> = {
  rsa: ['rsa-sha256', 'rsa-sha384', 'rsa-sha512', 'pss-sha384'],
  p256: ['ecdsa-sha256', 'ecdsa-sha384', 'ecdsa-sha512'],
  p384: ['ecdsa-sha256', 'ecdsa-sha384', 'ecdsa-sha512'],
  ed25519: ['ed25519'],
};
