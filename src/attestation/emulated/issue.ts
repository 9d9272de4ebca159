import { constants, createHash, createPublicKey, type KeyObject, sign } from 'node:crypto';
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
} from '../x509/der-writer.ts';

/** Issues certificates of the AMD profile under keys of the emulated platform: RSA-PSS, SHA-384, salt 48. */

const OID = {
  organization: '2.5.4.10',
  commonName: '2.5.4.3',
  rsassaPss: '1.2.840.113549.1.1.10',
  mgf1: '1.2.840.113549.1.1.8',
  sha384: '2.16.840.1.101.3.4.2.2',
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  basicConstraints: '2.5.29.19',
  authorityKeyId: '2.5.29.35',
} as const;
const ORGANIZATION = 'CocosAI emulated platform, not hardware';
const SALT_BYTES = 48;
/** keyCertSign and cRLSign: bits 5 and 6, so the last bit of the byte is unused. */
const CA_KEY_USAGE = Uint8Array.of(0x06);

export interface ExtensionInput {
  readonly oid: string;
  readonly critical?: boolean;
  /** Content of the OCTET STRING. */
  readonly value: Uint8Array;
}

export interface CertificateInput {
  readonly subject: string;
  readonly issuer: string;
  /** Big-endian, at most 20 bytes. */
  readonly serial: Uint8Array;
  /** Milliseconds since 1970. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly publicKey: KeyObject;
  /** RSA key of the issuer. */
  readonly issuerKey: KeyObject;
  readonly extensions: readonly ExtensionInput[];
}

function pssAlgorithm(): Uint8Array {
  const sha384 = sequence(oid(OID.sha384), derNull());
  const parameters = sequence(
    explicit(0, sha384),
    explicit(1, sequence(oid(OID.mgf1), sha384)),
    explicit(2, integer(SALT_BYTES)),
  );
  return sequence(oid(OID.rsassaPss), parameters);
}

function name(commonName: string): Uint8Array {
  const attribute = (type: string, text: string): Uint8Array => set(sequence(oid(type), utf8String(text)));
  return sequence(attribute(OID.organization, ORGANIZATION), attribute(OID.commonName, commonName));
}

function spkiOf(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ format: 'der', type: 'spki' }));
}

/** Key identifier as RFC 7093 section 2 method 1 has it: the first 160 bits of SHA-256. */
function keyId(spki: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(spki).digest().subarray(0, 20));
}

function extension(input: ExtensionInput): Uint8Array {
  const flag = input.critical === true ? [derTrue()] : [];
  return sequence(oid(input.oid), ...flag, octetString(input.value));
}

/** Extensions of an authority: CA flag and the right to sign certificates and revocation lists. */
export function authorityExtensions(pathLength?: number): ExtensionInput[] {
  const limit = pathLength === undefined ? [] : [integer(pathLength)];
  return [
    { oid: OID.basicConstraints, critical: true, value: sequence(derTrue(), ...limit) },
    { oid: OID.keyUsage, critical: true, value: bitString(CA_KEY_USAGE, 1) },
  ];
}

/** Issues one version 3 certificate in DER, with key identifiers added. */
export function issueCertificate(input: CertificateInput): Uint8Array {
  const spki = spkiOf(input.publicKey);
  const issuerId = keyId(spkiOf(createPublicKey(input.issuerKey)));
  const algorithm = pssAlgorithm();
  const extensions: ExtensionInput[] = [
    ...input.extensions,
    { oid: OID.subjectKeyId, value: octetString(keyId(spki)) },
    // [0] IMPLICIT keyIdentifier
    { oid: OID.authorityKeyId, value: sequence(element(0x80, issuerId)) },
  ];
  const tbs = sequence(
    explicit(0, integer(2)),
    integerOf(input.serial),
    algorithm,
    name(input.issuer),
    sequence(time(input.notBefore), time(input.notAfter)),
    name(input.subject),
    spki,
    explicit(3, sequence(...extensions.map(extension))),
  );
  const padding = constants.RSA_PKCS1_PSS_PADDING;
  const signature = sign('sha384', tbs, { key: input.issuerKey, padding, saltLength: SALT_BYTES });
  return sequence(tbs, algorithm, bitString(new Uint8Array(signature)));
}
