import { bytesToHex } from '@noble/hashes/utils.js';
import { sameBytes } from '../encoding/bytes.ts';
import {
  bitStringBytes,
  contextTag,
  DerReader,
  type DerValue,
  derError,
  integerContent,
  oidText,
  readOnly,
  smallInteger,
  TAG,
} from './der.ts';
import { type PublicKey, parsePublicKey } from './public-key.ts';
import { timeMs } from './time.ts';

/** Largest certificate that is read; real ones of the platforms here are below 2 KiB. */
const MAX_CERTIFICATE_BYTES = 16 * 1024;
const MAX_EXTENSIONS = 64;
const OID_COMMON_NAME = '2.5.4.3';
const OID_SERIAL_NUMBER = '2.5.4.5';
const OID_KEY_USAGE = '2.5.29.15';
const OID_BASIC_CONSTRAINTS = '2.5.29.19';

export interface AlgorithmIdentifier {
  readonly oid: string;
  /** DER of the parameters; empty when there are none. */
  readonly parameters: Uint8Array;
}

export interface Name {
  /** DER of the complete name, for comparisons. */
  readonly der: Uint8Array;
  /** The common name; null if there is none or more than one. */
  readonly commonName: string | null;
  /** The serialNumber attribute; null if there is none or more than one. */
  readonly serialNumber: string | null;
}

export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  /** Content of the OCTET STRING. */
  readonly value: Uint8Array;
}

export interface KeyUsage {
  readonly digitalSignature: boolean;
  readonly keyCertSign: boolean;
  readonly cRLSign: boolean;
}

/** A parsed X.509 version 3 certificate (RFC 5280 4.1). Nothing in it is verified. */
export interface Certificate {
  readonly der: Uint8Array;
  /** The signed bytes. */
  readonly tbs: Uint8Array;
  /** Serial number, hex of the INTEGER's content. */
  readonly serial: string;
  readonly issuer: Name;
  readonly subject: Name;
  /** Milliseconds since 1970, both ends included. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** DER of SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  /** The key in it; null for a kind that no evidence uses. */
  readonly key: PublicKey | null;
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly signature: Uint8Array;
  readonly extensions: readonly Extension[];
  /** From basicConstraints; false when the extension is missing. */
  readonly isCa: boolean;
  /** From basicConstraints: number of CA certificates that may follow below; null without a limit. */
  readonly pathLength: number | null;
  /** From keyUsage (RFC 5280 4.2.1.3); null when the extension is missing, which allows every usage. */
  readonly keyUsage: KeyUsage | null;
}

/** AlgorithmIdentifier (RFC 5280 4.1.1.2). @throws CocosError EVIDENCE_INVALID */
export function parseAlgorithm(value: DerValue): AlgorithmIdentifier {
  const reader = new DerReader(value.content);
  const oid = oidText(reader.next(), 'algorithm');
  const parameters = reader.done ? new Uint8Array() : reader.next().encoded;
  reader.end('algorithm identifier');
  return { oid, parameters };
}

function decodeText(value: DerValue): string {
  if (![TAG.utf8String, TAG.printableString, TAG.ia5String].some((tag) => tag === value.tag)) {
    throw derError('a name has an unknown string type');
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(value.content);
  } catch (cause) {
    throw derError('a name is not UTF-8', cause);
  }
}

/** Name (RFC 5280 4.1.2.4). @throws CocosError EVIDENCE_INVALID */
export function parseName(value: DerValue): Name {
  const names: string[] = [];
  const serials: string[] = [];
  const rdns = new DerReader(value.content);
  while (!rdns.done) {
    const set = new DerReader(rdns.expect(TAG.set, 'relative name').content);
    if (set.done) throw derError('relative name is empty');
    while (!set.done) {
      const attribute = new DerReader(set.expect(TAG.sequence, 'name attribute').content);
      const oid = oidText(attribute.next(), 'name attribute type');
      const text = attribute.next();
      attribute.end('name attribute');
      if (oid === OID_COMMON_NAME) names.push(decodeText(text));
      if (oid === OID_SERIAL_NUMBER) serials.push(decodeText(text));
    }
  }
  const only = (list: readonly string[]): string | null => (list.length === 1 ? (list[0] ?? null) : null);
  return { der: value.encoded, commonName: only(names), serialNumber: only(serials) };
}

/** A BOOLEAN that is FALSE by default. DER omits the default, so that it is TRUE where it is written, as 0xff. */
function defaultFalse(reader: DerReader, what: string): boolean {
  const flag = reader.optional(TAG.boolean);
  if (flag === undefined) return false;
  if (flag.content.length !== 1 || flag.content[0] !== 0xff) throw derError(`${what} is not encoded in DER`);
  return true;
}

/** Extension (RFC 5280 4.1). @throws CocosError EVIDENCE_INVALID */
export function parseExtension(value: DerValue): Extension {
  const reader = new DerReader(value.content);
  const oid = oidText(reader.next(), 'extension id');
  const critical = defaultFalse(reader, 'critical flag');
  const content = reader.expect(TAG.octetString, 'extension value').content;
  reader.end('extension');
  return { oid, critical, value: content };
}

function parseExtensions(value: DerValue): Extension[] {
  const reader = new DerReader(readOnly(value.content, TAG.sequence, 'extensions').content);
  const list: Extension[] = [];
  while (!reader.done) {
    if (list.length === MAX_EXTENSIONS) throw derError('certificate has too many extensions');
    const extension = parseExtension(reader.expect(TAG.sequence, 'extension'));
    if (list.some((other) => other.oid === extension.oid)) throw derError(`extension ${extension.oid} twice`);
    list.push(extension);
  }
  return list;
}

function parseBasicConstraints(extensions: readonly Extension[]): {
  readonly isCa: boolean;
  readonly pathLength: number | null;
} {
  const extension = extensions.find((e) => e.oid === OID_BASIC_CONSTRAINTS);
  if (extension === undefined) return { isCa: false, pathLength: null };
  const reader = new DerReader(readOnly(extension.value, TAG.sequence, 'basicConstraints').content);
  const isCa = defaultFalse(reader, 'basicConstraints');
  const limit = reader.optional(TAG.integer);
  reader.end('basicConstraints');
  if (limit === undefined) return { isCa, pathLength: null };
  if (!isCa) throw derError('a certificate that is not a CA has a path length');
  return { isCa, pathLength: smallInteger(limit, 'path length') };
}

function parseKeyUsage(extensions: readonly Extension[]): KeyUsage | null {
  const extension = extensions.find((e) => e.oid === OID_KEY_USAGE);
  if (extension === undefined) return null;
  const bits = readOnly(extension.value, TAG.bitString, 'keyUsage').content;
  if (bits.length < 2) throw derError('keyUsage has no bits');
  const [unused = 0, first = 0] = bits;
  // Bits that do not belong to a BIT STRING are zero in DER (X.690 11.2.1).
  if (unused > 7 || ((bits.at(-1) ?? 0) & ((1 << unused) - 1)) !== 0)
    throw derError('keyUsage is not encoded in DER');
  return {
    digitalSignature: (first & 0x80) !== 0,
    keyCertSign: (first & 0x04) !== 0,
    cRLSign: (first & 0x02) !== 0,
  };
}

/**
 * Parses one DER certificate, strictly: version 3, no unique identifiers, no duplicate extension, nothing after it.
 *
 * @throws CocosError EVIDENCE_INVALID
 */
export function parseCertificate(der: Uint8Array): Certificate {
  if (der.length > MAX_CERTIFICATE_BYTES) throw derError('certificate is larger than 16 KiB');
  const outer = new DerReader(readOnly(der, TAG.sequence, 'certificate').content);
  const tbsValue = outer.expect(TAG.sequence, 'tbsCertificate');
  const algorithmValue = outer.expect(TAG.sequence, 'signatureAlgorithm');
  const signature = bitStringBytes(outer.next(), 'signature');
  outer.end('certificate');

  const tbs = new DerReader(tbsValue.content);
  const version = readOnly(tbs.expect(contextTag(0), 'version').content, TAG.integer, 'version');
  if (smallInteger(version, 'version') !== 2) throw derError('certificate is not of version 3');
  const serial = bytesToHex(integerContent(tbs.next(), 'serial number'));
  const innerAlgorithm = tbs.expect(TAG.sequence, 'signature');
  if (!sameBytes(innerAlgorithm.encoded, algorithmValue.encoded)) {
    throw derError('signature algorithms inside and outside differ');
  }
  const issuer = parseName(tbs.expect(TAG.sequence, 'issuer'));
  const validity = new DerReader(tbs.expect(TAG.sequence, 'validity').content);
  const notBefore = timeMs(validity.next(), 'notBefore');
  const notAfter = timeMs(validity.next(), 'notAfter');
  validity.end('validity');
  const subject = parseName(tbs.expect(TAG.sequence, 'subject'));
  const spki = tbs.expect(TAG.sequence, 'subjectPublicKeyInfo');
  const extensionsValue = tbs.optional(contextTag(3));
  const extensions = extensionsValue === undefined ? [] : parseExtensions(extensionsValue);
  tbs.end('tbsCertificate');

  return {
    der,
    tbs: tbsValue.encoded,
    serial,
    issuer,
    subject,
    notBefore,
    notAfter,
    spki: spki.encoded,
    key: parsePublicKey(spki.encoded),
    signatureAlgorithm: parseAlgorithm(algorithmValue),
    signature,
    extensions,
    ...parseBasicConstraints(extensions),
    keyUsage: parseKeyUsage(extensions),
  };
}
