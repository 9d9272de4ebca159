import { constants, createPublicKey, type KeyObject, sign } from 'node:crypto';
import {
  bitString,
  derNull,
  derTrue,
  explicit,
  integer,
  integerOf,
  octetString,
  oid,
  sequence,
  set,
  time,
  utf8String,
} from '../../src/attestation/x509/der-writer.ts';

/** Issues certificates and revocation lists under any key, so that a test can break one property of each. */

const PSS_SALT = 48;

export interface Extension {
  readonly oid: string;
  readonly critical?: boolean;
  readonly value: Uint8Array;
}

export interface Issuer {
  readonly name: string;
  readonly key: KeyObject;
}

export interface Validity {
  /** Milliseconds since 1970. */
  readonly notBefore: number;
  readonly notAfter: number;
}

export function distinguishedName(commonName: string): Uint8Array {
  return sequence(set(sequence(oid('2.5.4.3'), utf8String(commonName))));
}

function algorithmOf(key: KeyObject): Uint8Array {
  if (key.asymmetricKeyType === 'ec') return sequence(oid('1.2.840.10045.4.3.2'));
  if (key.asymmetricKeyType === 'ed25519') return sequence(oid('1.3.101.112'));
  const sha384 = sequence(oid('2.16.840.1.101.3.4.2.2'), derNull());
  return sequence(
    oid('1.2.840.113549.1.1.10'),
    sequence(
      explicit(0, sha384),
      explicit(1, sequence(oid('1.2.840.113549.1.1.8'), sha384)),
      explicit(2, integer(PSS_SALT)),
    ),
  );
}

function signed(tbs: Uint8Array, key: KeyObject): Uint8Array {
  const signature =
    key.asymmetricKeyType === 'ec'
      ? sign('sha256', tbs, key)
      : key.asymmetricKeyType === 'ed25519'
        ? sign(null, tbs, key)
        : sign('sha384', tbs, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: PSS_SALT });
  return sequence(tbs, algorithmOf(key), bitString(new Uint8Array(signature)));
}

function extensionOf({ oid: id, critical, value }: Extension): Uint8Array {
  return sequence(oid(id), ...(critical === true ? [derTrue()] : []), octetString(value));
}

/**
 * Extensions of an authority.
 *
 * @param usage first byte of keyUsage: keyCertSign is 4, cRLSign 2
 */
export const authority = (pathLength?: number, usage = 0x06): readonly Extension[] => [
  {
    oid: '2.5.29.19',
    critical: true,
    value: sequence(derTrue(), ...(pathLength === undefined ? [] : [integer(pathLength)])),
  },
  { oid: '2.5.29.15', critical: true, value: bitString(Uint8Array.of(usage), 1) },
];
export const AUTHORITY = authority();

/** Names are common names, or DER where a test needs others. */
export function issue(input: {
  readonly subject: string | Uint8Array;
  readonly issuer: Issuer | { readonly name: Uint8Array; readonly key: KeyObject };
  readonly serial: Uint8Array;
  readonly validity: Validity;
  readonly publicKey: KeyObject;
  readonly extensions: readonly Extension[];
}): Uint8Array {
  const nameOf = (name: string | Uint8Array) => (typeof name === 'string' ? distinguishedName(name) : name);
  const { issuer, validity, extensions } = input;
  const publicKey = input.publicKey.type === 'private' ? createPublicKey(input.publicKey) : input.publicKey;
  const tbs = sequence(
    explicit(0, integer(2)),
    integerOf(input.serial),
    algorithmOf(issuer.key),
    nameOf(issuer.name),
    sequence(time(validity.notBefore), time(validity.notAfter)),
    nameOf(input.subject),
    new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })),
    ...(extensions.length === 0 ? [] : [explicit(3, sequence(...extensions.map(extensionOf)))]),
  );
  return signed(tbs, issuer.key);
}

/** A revocation list of version 2. */
export function revocationList(input: {
  readonly issuer: Issuer;
  /** Serial numbers, big-endian. */
  readonly revoked: readonly Uint8Array[];
  readonly thisUpdate: number;
  readonly nextUpdate: number;
  readonly extensions?: readonly Extension[];
}): Uint8Array {
  const { issuer, revoked, thisUpdate, nextUpdate } = input;
  const entries = revoked.map((serial) => sequence(integerOf(serial), time(thisUpdate)));
  const extensions = input.extensions ?? [{ oid: '2.5.29.20', value: integer(1) }];
  const tbs = sequence(
    integer(1),
    algorithmOf(issuer.key),
    distinguishedName(issuer.name),
    time(thisUpdate),
    time(nextUpdate),
    ...(entries.length === 0 ? [] : [sequence(...entries)]),
    explicit(0, sequence(...extensions.map(extensionOf))),
  );
  return signed(tbs, issuer.key);
}

export function toPem(der: Uint8Array, label = 'CERTIFICATE'): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
