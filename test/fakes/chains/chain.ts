import type { KeyObject } from 'node:crypto';
import {
  bitString,
  derNull,
  derTrue,
  element,
  explicit,
  integer,
  integerOf,
  octetString,
  oid,
  sequence,
  set,
  time,
  utf8String,
} from '../../../src/attestation/x509/der-writer.ts';
import type { Seeded } from '../../seeded.ts';
import { keyId, keyOf, SCHEMES, type Scheme, spkiOf, USUAL } from './keys.ts';

/** Chains of certificates as fields, each of which a test may change before they are signed and written. */

export const DAY = 86_400_000;
export const AT = Date.parse('2026-06-01T00:00:00Z');

export interface ExtensionFields {
  oid: string;
  /** DER of the flag; empty when it is left out. */
  critical: Uint8Array;
  value: Uint8Array;
}

export interface CertificateFields {
  /** DER between the start of the certificate and its serial number; empty for version 1. */
  version: Uint8Array;
  /** DER. */
  serial: Uint8Array;
  issuer: Uint8Array;
  subject: Uint8Array;
  notBefore: Uint8Array;
  notAfter: Uint8Array;
  spki: Uint8Array;
  /** DER between key and extensions. */
  uniqueIds: Uint8Array;
  extensions: ExtensionFields[];
  /** The key in the certificate. */
  key: KeyObject;
  signer: { key: KeyObject; scheme: Scheme };
  /** AlgorithmIdentifier in the signed part, if it differs from the scheme's. */
  innerAlgorithm: Uint8Array | undefined;
  outerAlgorithm: Uint8Array | undefined;
  /** Changes the bytes after signing. */
  damage: (der: Uint8Array) => Uint8Array;
}

export interface ListFields {
  /** DER; empty for version 1. */
  version: Uint8Array;
  issuer: Uint8Array;
  thisUpdate: Uint8Array;
  /** DER; empty when it is left out. */
  nextUpdate: Uint8Array;
  entries: { serial: Uint8Array; extensions: ExtensionFields[] }[];
  extensions: ExtensionFields[];
  signer: { key: KeyObject; scheme: Scheme };
}

export interface Chain {
  readonly family: 'attestation-key' | 'pck';
  /** From the leaf to the root. */
  certificates: CertificateFields[];
  /** Written after the others, in the list of those that are not trusted. */
  extra: CertificateFields[];
  lists: ListFields[];
  /** Which of the certificates is trusted. */
  anchor: number;
  order: 'as it is' | 'reversed';
  at: number;
  /** Names of the changes that were made. */
  changes: string[];
}

export const CRITICAL = derTrue();
export const none = (): Uint8Array => new Uint8Array();
export const ID = {
  basicConstraints: '2.5.29.19',
  keyUsage: '2.5.29.15',
  extendedKeyUsage: '2.5.29.37',
  subjectKeyId: '2.5.29.14',
  authorityKeyId: '2.5.29.35',
  alternativeName: '2.5.29.17',
} as const;
export const AIK_PURPOSE = '2.23.133.8.3';

export const printable = (text: string): Uint8Array => element(0x13, Buffer.from(text));
export const name = (...attributes: readonly (readonly [string, Uint8Array])[]): Uint8Array =>
  sequence(...attributes.map(([id, value]) => set(sequence(oid(id), value))));
export const commonName = (text: string): Uint8Array =>
  name(['2.5.4.10', utf8String('Example Corporation')], ['2.5.4.3', utf8String(text)]);

/** keyUsage of these bits, bit 0 first (RFC 5280 4.2.1.3): 0 digitalSignature, 5 keyCertSign, 6 cRLSign. */
export function usage(...bits: readonly number[]): Uint8Array {
  const byte = bits.reduce((sum, bit) => sum | (0x80 >> bit), 0);
  return bitString(Uint8Array.of(byte), 7 - Math.max(...bits));
}

export const constraints = (pathLength?: number): Uint8Array =>
  sequence(derTrue(), ...(pathLength === undefined ? [] : [integer(pathLength)]));

export const extension = (id: string, value: Uint8Array, critical = false): ExtensionFields => ({
  oid: id,
  critical: critical ? CRITICAL : none(),
  value,
});

export const subjectKeyId = (spki: Uint8Array): ExtensionFields =>
  extension(ID.subjectKeyId, octetString(keyId(spki)));
export const authorityKeyId = (spki: Uint8Array): ExtensionFields =>
  extension(ID.authorityKeyId, sequence(element(0x80, keyId(spki))));

interface Plan {
  readonly names: readonly Uint8Array[];
  readonly kinds: readonly (keyof typeof USUAL)[];
  readonly purpose: boolean;
}

function certificate(plan: Plan, at: number, keys: readonly KeyObject[], random: Seeded): CertificateFields {
  const key = keys[at];
  const above = Math.min(at + 1, keys.length - 1);
  const issuerKey = keys[above];
  const kind = plan.kinds[above];
  const [subject, issuer] = [plan.names[at], plan.names[above]];
  if (key === undefined || issuerKey === undefined || kind === undefined) throw new Error('no key');
  if (subject === undefined || issuer === undefined) throw new Error('no name');
  const spki = spkiOf(key);
  const purpose = extension(ID.extendedKeyUsage, sequence(oid(AIK_PURPOSE)));
  return {
    version: explicit(0, integer(2)),
    serial: integerOf(Uint8Array.of(0x10 + at, ...random.bytes(7))),
    issuer,
    subject,
    notBefore: time(AT - 100 * DAY),
    notAfter: time(AT + 1000 * DAY),
    spki,
    uniqueIds: none(),
    extensions: [
      ...(at > 0
        ? [
            extension(ID.basicConstraints, constraints(), true),
            extension(ID.keyUsage, usage(5, 6), true),
            subjectKeyId(spki),
          ]
        : [extension(ID.keyUsage, usage(0), true), ...(plan.purpose ? [purpose] : [])]),
      authorityKeyId(spkiOf(issuerKey)),
    ],
    key,
    signer: { key: issuerKey, scheme: SCHEMES[plan.purpose ? random.pick(USUAL[kind]) : 'ecdsa-sha256'] },
    innerAlgorithm: undefined,
    outerAlgorithm: undefined,
    damage: (der) => der,
  };
}

function chainOf(family: Chain['family'], plan: Plan, random: Seeded): Chain {
  // Different keys, also where two certificates have the same kind.
  const first = random.below(5);
  const keys = plan.kinds.map((kind, at) => keyOf(kind, first + at));
  const certificates = plan.names.map((_, at) => certificate(plan, at, keys, random));
  const anchor = certificates.length - 1;
  return { family, certificates, extra: [], lists: [], anchor, order: 'as it is', at: AT, changes: [] };
}

/** A valid chain of an attestation key: no authority to two of them below a root. */
export function attestationKeyChain(random: Seeded): Chain {
  const names = ['AK', 'Issuing CA', 'Policy CA', 'Root CA'].map((text) => commonName(text));
  if (random.chance(0.4)) names.splice(2, 1);
  const kinds = names.map(() => random.pick(['rsa', 'p256', 'p384', 'ed25519'] as const));
  return chainOf('attestation-key', { names, kinds, purpose: true }, random);
}

export const emptyList = (issuer: CertificateFields): ListFields => ({
  version: integer(1),
  issuer: issuer.subject,
  thisUpdate: time(AT - DAY),
  nextUpdate: time(AT + 10 * DAY),
  entries: [{ serial: integer(77), extensions: [] }],
  extensions: [extension('2.5.29.20', integer(5)), authorityKeyId(issuer.spki)],
  signer: { key: issuer.key, scheme: SCHEMES['ecdsa-sha256'] },
});

/** A valid chain of a PCK certificate with the lists of both authorities. */
export function pckChain(random: Seeded): Chain {
  const names = ['Intel SGX PCK Certificate', 'Intel SGX PCK Platform CA', 'Intel SGX Root CA'].map((text) =>
    commonName(text),
  );
  const chain = chainOf('pck', { names, kinds: ['p256', 'p256', 'p256'], purpose: false }, random);
  chain.lists = chain.certificates.slice(1).map(emptyList);
  return chain;
}

export const written = ({ oid: id, critical, value }: ExtensionFields): Uint8Array =>
  sequence(oid(id), critical, octetString(value));

export function writeCertificate(fields: CertificateFields): Uint8Array {
  const { scheme, key } = fields.signer;
  const tbs = sequence(
    fields.version,
    fields.serial,
    fields.innerAlgorithm ?? scheme.algorithm,
    fields.issuer,
    sequence(fields.notBefore, fields.notAfter),
    fields.subject,
    fields.spki,
    fields.uniqueIds,
    ...(fields.extensions.length === 0 ? [] : [explicit(3, sequence(...fields.extensions.map(written)))]),
  );
  const signature = bitString(scheme.sign(tbs, key));
  return fields.damage(sequence(tbs, fields.outerAlgorithm ?? scheme.algorithm, signature));
}

export function writeList(fields: ListFields): Uint8Array {
  const { scheme, key } = fields.signer;
  const entries = fields.entries.map(({ serial, extensions }) =>
    sequence(
      serial,
      time(AT - 2 * DAY),
      ...(extensions.length === 0 ? [] : [sequence(...extensions.map(written))]),
    ),
  );
  const tbs = sequence(
    fields.version,
    scheme.algorithm,
    fields.issuer,
    fields.thisUpdate,
    fields.nextUpdate,
    ...(entries.length === 0 ? [] : [sequence(...entries)]),
    ...(fields.extensions.length === 0 ? [] : [explicit(0, sequence(...fields.extensions.map(written)))]),
  );
  return sequence(tbs, scheme.algorithm, bitString(scheme.sign(tbs, key)));
}

export {
  bitString,
  derNull,
  derTrue,
  element,
  explicit,
  integer,
  integerOf,
  octetString,
  oid,
  sequence,
  set,
  time,
  utf8String,
};
