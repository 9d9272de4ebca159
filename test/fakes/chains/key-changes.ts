import {
  AT,
  authorityKeyId,
  bitString,
  type CertificateFields,
  type Chain,
  commonName,
  DAY,
  derNull,
  element,
  integer,
  integerOf,
  oid,
  sequence,
  subjectKeyId,
  time,
} from './chain.ts';
import { anyOf, authorityOf, type Change, issuerOf, leafOf, put, rootOf } from './change.ts';
import { type KeyKind, otherKey, SCHEMES, type SchemeName, spkiOf } from './keys.ts';

/** Gives a certificate another key; what it issued is signed with that key. */
function rekey(chain: Chain, fields: CertificateFields, kind: KeyKind, scheme: SchemeName | undefined): void {
  const before = fields.key;
  const key = otherKey(kind);
  const spki = spkiOf(key);
  Object.assign(fields, { key, spki });
  if (fields !== leafOf(chain)) put(fields, subjectKeyId(spki));
  for (const other of [...chain.certificates, ...chain.lists]) {
    if (scheme !== undefined && other.signer.key === before) other.signer = { key, scheme: SCHEMES[scheme] };
  }
  for (const other of [...chain.certificates, ...chain.lists])
    if (other.issuer === fields.subject) put(other, authorityKeyId(spki));
}

/** The issuer of the leaf gets a key of this kind and signs the leaf with the scheme. */
const signedWith = (name: string, kind: KeyKind, ...schemes: readonly SchemeName[]): Change => ({
  name,
  family: 'attestation-key',
  apply: (chain, random) => rekey(chain, issuerOf(chain), kind, random.pick(schemes)),
});

const leafKey = (name: string, kind: KeyKind): Change => ({
  name,
  family: 'attestation-key',
  apply: (chain) => rekey(chain, leafOf(chain), kind, undefined),
});

const inner = (fields: CertificateFields, algorithm: Uint8Array): void => {
  Object.assign(fields, { innerAlgorithm: algorithm, outerAlgorithm: algorithm });
};

/** The uncompressed point of a P-256 key as a compressed one (SEC 1, 2.3.3). */
function compressed(spki: Uint8Array): Uint8Array {
  const point = spki.subarray(-65);
  const sign = ((point[64] ?? 0) & 1) === 0 ? 2 : 3;
  const curve = sequence(oid('1.2.840.10045.2.1'), oid('1.2.840.10045.3.1.7'));
  return sequence(curve, bitString(Buffer.concat([Uint8Array.of(sign), point.subarray(1, 33)])));
}

/** Another spelling of the length of a certificate, which DER does not allow (X.690 10.1). */
function longLength(der: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.of(0x30, 0x83, 0), der.subarray(2)]);
}
const indefinite = (der: Uint8Array): Uint8Array =>
  Buffer.concat([Uint8Array.of(0x30, 0x80), der.subarray(4), Uint8Array.of(0, 0)]);

/** A copy of an authority with the same key and another validity. */
const twin = (fields: CertificateFields, notAfter: number): CertificateFields => ({
  ...fields,
  serial: integerOf(Uint8Array.of(0x55, 1)),
  notAfter: time(notAfter),
});

/** Algorithms, keys, encodings, and which certificates come in which order. */
export const KEY_CHANGES: readonly Change[] = [
  signedWith('signed with PKCS1 and SHA-2', 'rsa', 'rsa-sha256', 'rsa-sha384', 'rsa-sha512'),
  signedWith('signed with PSS and SHA-384', 'rsa', 'pss-sha384'),
  signedWith('signed with ECDSA and SHA-2', 'p256', 'ecdsa-sha256', 'ecdsa-sha384', 'ecdsa-sha512'),
  signedWith('signed with ECDSA P-384', 'p384', 'ecdsa-sha256', 'ecdsa-sha384', 'ecdsa-sha512'),
  signedWith('signed with Ed25519', 'ed25519', 'ed25519'),
  signedWith('signed with SHA-1', 'rsa', 'rsa-sha1'),
  signedWith('signed with ECDSA and SHA-1', 'p256', 'ecdsa-sha1'),
  signedWith('signed with SHA-224', 'rsa', 'rsa-sha224'),
  signedWith('signed with ECDSA and SHA-224', 'p256', 'ecdsa-sha224'),
  signedWith('signed with PSS and SHA-256', 'rsa', 'pss-sha256'),
  signedWith('signed with PSS and a short salt', 'rsa', 'pss-sha384-salt-32'),
  signedWith('signed with RSA-1024', 'rsa-1024', 'rsa-sha256'),
  signedWith('signed with P-521', 'p521', 'ecdsa-sha512'),
  signedWith('signed with secp256k1', 'secp256k1', 'ecdsa-sha256'),
  leafKey('key of RSA-1024', 'rsa-1024'),
  leafKey('key of P-521', 'p521'),
  {
    name: 'other algorithm outside',
    family: 'attestation-key',
    apply: (chain, random) =>
      Object.assign(anyOf(chain, random), { outerAlgorithm: SCHEMES['ecdsa-sha224'].algorithm }),
  },
  {
    name: 'other algorithm inside',
    apply: (chain, random) =>
      Object.assign(anyOf(chain, random), {
        innerAlgorithm: SCHEMES['ecdsa-sha384'].algorithm,
        outerAlgorithm: SCHEMES['ecdsa-sha224'].algorithm,
      }),
  },
  {
    name: 'algorithm of another hash',
    apply: (chain) => {
      rekey(chain, issuerOf(chain), 'p256', 'ecdsa-sha256');
      inner(leafOf(chain), SCHEMES['ecdsa-sha384'].algorithm);
    },
  },
  {
    name: 'parameters of ECDSA',
    apply: (chain) => {
      rekey(chain, issuerOf(chain), 'p256', 'ecdsa-sha256');
      inner(leafOf(chain), sequence(oid('1.2.840.10045.4.3.2'), derNull()));
    },
  },
  {
    name: 'no parameters of RSA',
    family: 'attestation-key',
    apply: (chain) => {
      rekey(chain, issuerOf(chain), 'rsa', 'rsa-sha256');
      inner(leafOf(chain), sequence(oid('1.2.840.113549.1.1.11')));
    },
  },
  {
    name: 'other parameters of RSA',
    family: 'attestation-key',
    apply: (chain) => {
      rekey(chain, issuerOf(chain), 'rsa', 'rsa-sha256');
      inner(leafOf(chain), sequence(oid('1.2.840.113549.1.1.11'), sequence(integer(1))));
    },
  },
  {
    name: 'parameters of Ed25519',
    family: 'attestation-key',
    apply: (chain) => {
      rekey(chain, issuerOf(chain), 'ed25519', 'ed25519');
      inner(leafOf(chain), sequence(oid('1.3.101.112'), derNull()));
    },
  },
  {
    name: 'compressed point',
    apply: (chain) => {
      rekey(chain, issuerOf(chain), 'p256', 'ecdsa-sha256');
      issuerOf(chain).spki = compressed(issuerOf(chain).spki);
    },
  },
  {
    name: 'point that is not on the curve',
    apply: (chain) => {
      rekey(chain, issuerOf(chain), 'p256', 'ecdsa-sha256');
      const spki = Uint8Array.from(issuerOf(chain).spki);
      spki[spki.length - 1] = (spki.at(-1) ?? 0) ^ 1;
      issuerOf(chain).spki = spki;
    },
  },
  {
    name: 'length not in shortest form',
    apply: (chain, random) => Object.assign(anyOf(chain, random), { damage: longLength }),
  },
  {
    name: 'indefinite length',
    apply: (chain, random) => Object.assign(anyOf(chain, random), { damage: indefinite }),
  },
  {
    name: 'byte after a certificate',
    apply: (chain, random) =>
      Object.assign(anyOf(chain, random), {
        damage: (der: Uint8Array) => Buffer.concat([der, Uint8Array.of(0)]),
      }),
  },
  {
    name: 'end missing',
    apply: (chain, random) =>
      Object.assign(anyOf(chain, random), { damage: (der: Uint8Array) => der.subarray(0, -1) }),
  },
  { name: 'reversed order', apply: (chain) => Object.assign(chain, { order: 'reversed' }) },
  {
    name: 'repeated certificate',
    apply: (chain, random) => chain.extra.push(authorityOf(chain, random)),
  },
  {
    name: 'certificate of somebody else',
    apply: (chain) => chain.extra.push({ ...issuerOf(chain), subject: commonName('Somebody else') }),
  },
  {
    name: 'unreadable certificate of somebody else',
    apply: (chain) =>
      chain.extra.push({
        ...issuerOf(chain),
        subject: commonName('Somebody else'),
        serial: element(0x04, Uint8Array.of(1)),
      }),
  },
  {
    name: 'authority of the same name and another key',
    apply: (chain) => {
      const key = otherKey('p256');
      chain.extra.unshift({ ...issuerOf(chain), key, spki: spkiOf(key) });
    },
  },
  {
    name: 'authority missing',
    apply: (chain) => {
      chain.certificates.splice(1, 1);
      chain.anchor -= 1;
    },
  },
  {
    name: 'expired copy of an authority',
    apply: (chain) => chain.extra.push(twin(issuerOf(chain), AT - DAY)),
  },
  {
    name: 'expired authority with a valid copy',
    apply: (chain) => {
      chain.extra.push(twin(issuerOf(chain), AT + DAY));
      issuerOf(chain).notAfter = time(AT - DAY);
    },
  },
  {
    name: 'trusted authority below the root',
    alone: true,
    family: 'attestation-key',
    apply: (chain) => Object.assign(chain, { anchor: 1 }),
  },
  {
    name: 'root of the same name and another key',
    apply: (chain) => {
      const root = rootOf(chain);
      const key = otherKey('p256');
      const foreign = { ...root, key, spki: spkiOf(key), signer: { key, scheme: SCHEMES['ecdsa-sha256'] } };
      chain.extra.push(root);
      chain.certificates[chain.certificates.length - 1] = foreign;
    },
  },
];
