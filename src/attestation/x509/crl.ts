import { bytesToHex } from '@noble/hashes/utils.js';
import { sameBytes } from '../encoding/bytes.ts';
import {
  type AlgorithmIdentifier,
  type Certificate,
  type Extension,
  type Name,
  parseAlgorithm,
  parseExtension,
  parseName,
} from './certificate.ts';
import {
  bitStringBytes,
  contextTag,
  DerReader,
  type DerValue,
  derError,
  integerContent,
  readOnly,
  smallInteger,
  TAG,
} from './der.ts';
import { timeMs } from './time.ts';

/** Certificate revocation lists, version 2 (RFC 5280 5). */

const MAX_CRL_BYTES = 1024 * 1024;
const OID_CRL_NUMBER = '2.5.29.20';
/** deltaCRLIndicator and issuingDistributionPoint: with either, a list is no complete list of its issuer. */
const PARTIAL = ['2.5.29.27', '2.5.29.28'];

/** A parsed revocation list. Nothing in it is verified. */
export interface RevocationList {
  readonly der: Uint8Array;
  readonly tbs: Uint8Array;
  readonly issuer: Name;
  /** Milliseconds since 1970. */
  readonly thisUpdate: number;
  readonly nextUpdate: number;
  /** Hex of the content of each serial number, as in `Certificate.serial`. */
  readonly revoked: ReadonlySet<string>;
  /** CRL number, hex; null when the list has none. */
  readonly number: string | null;
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly signature: Uint8Array;
}

function isTime(value: number | undefined): boolean {
  return value === TAG.utcTime || value === TAG.generalizedTime;
}

function readRevoked(list: DerValue | undefined): Set<string> {
  const revoked = new Set<string>();
  if (list === undefined) return revoked;
  const reader = new DerReader(list.content);
  while (!reader.done) {
    const entry = new DerReader(reader.expect(TAG.sequence, 'revoked certificate').content);
    revoked.add(bytesToHex(integerContent(entry.next(), 'serial number')));
    if (!isTime(entry.next().tag)) throw derError('a revocation date is not a time');
    const extensions = entry.optional(TAG.sequence);
    entry.end('revoked certificate');
    if (extensions === undefined) continue;
    const inner = new DerReader(extensions.content);
    while (!inner.done) {
      // A list has many entries and nothing here needs to know which extensions they have.
      const extension = new DerReader(inner.expect(TAG.sequence, 'entry extension').content);
      extension.expect(TAG.oid, 'extension id');
      // DER writes this flag only when it is set.
      if (extension.optional(TAG.boolean) !== undefined)
        throw derError('a revoked certificate has a critical extension');
      extension.expect(TAG.octetString, 'extension value');
      extension.end('entry extension');
    }
  }
  return revoked;
}

function readExtensions(value: DerValue): Extension[] {
  const reader = new DerReader(readOnly(value.content, TAG.sequence, 'extensions').content);
  const list: Extension[] = [];
  while (!reader.done) {
    const extension = parseExtension(reader.expect(TAG.sequence, 'extension'));
    // They are critical (RFC 5280 5.2.4, 5.2.5). Whoever leaves the flag out still lists a part only.
    if (PARTIAL.includes(extension.oid)) throw derError('revocation list covers only a part of its issuer');
    if (extension.critical) throw derError(`revocation list has the critical extension ${extension.oid}`);
    list.push(extension);
  }
  return list;
}

/** Whether DER looks like a revocation list: its first inner field is a version of 1, not `[0]` as in a certificate. */
export function looksLikeCrl(der: Uint8Array): boolean {
  try {
    const outer = new DerReader(new DerReader(der).expect(TAG.sequence, 'list').content);
    const tbs = new DerReader(outer.expect(TAG.sequence, 'tbsCertList').content);
    const version = tbs.expect(TAG.integer, 'version');
    return smallInteger(version, 'version') === 1 && tbs.next().tag === TAG.sequence;
  } catch {
    return false;
  }
}

/**
 * Parses one DER revocation list, strictly: version 2, with a next update, without critical extensions.
 *
 * @throws CocosError EVIDENCE_INVALID
 */
export function parseCrl(der: Uint8Array): RevocationList {
  if (der.length > MAX_CRL_BYTES) throw derError('revocation list is larger than 1 MiB');
  const outer = new DerReader(readOnly(der, TAG.sequence, 'revocation list').content);
  const tbsValue = outer.expect(TAG.sequence, 'tbsCertList');
  const algorithmValue = outer.expect(TAG.sequence, 'signatureAlgorithm');
  const signature = bitStringBytes(outer.next(), 'signature');
  outer.end('revocation list');

  const tbs = new DerReader(tbsValue.content);
  if (smallInteger(tbs.expect(TAG.integer, 'version'), 'version') !== 1) {
    throw derError('revocation list is not version 2');
  }
  const inner = tbs.expect(TAG.sequence, 'signature');
  if (!sameBytes(inner.encoded, algorithmValue.encoded)) {
    throw derError('signature algorithms inside and outside differ');
  }
  const issuer = parseName(tbs.expect(TAG.sequence, 'issuer'));
  const thisUpdate = timeMs(tbs.next(), 'thisUpdate');
  const next = tbs.next();
  if (!isTime(next.tag)) throw derError('revocation list has no next update');
  const nextUpdate = timeMs(next, 'nextUpdate');
  const revoked = readRevoked(tbs.optional(TAG.sequence));
  const extensionsValue = tbs.optional(contextTag(0));
  const extensions = extensionsValue === undefined ? [] : readExtensions(extensionsValue);
  tbs.end('tbsCertList');
  const number = extensions.find(({ oid }) => oid === OID_CRL_NUMBER);
  return {
    der,
    tbs: tbsValue.encoded,
    issuer,
    thisUpdate,
    nextUpdate,
    revoked,
    number:
      number === undefined ? null : bytesToHex(readOnly(number.value, TAG.integer, 'CRL number').content),
    signatureAlgorithm: parseAlgorithm(algorithmValue),
    signature,
  };
}

/** Whether a list covers the certificates that `authority` issues. */
export function crlIsOf(list: RevocationList, authority: Pick<Certificate, 'subject'>): boolean {
  return sameBytes(list.issuer.der, authority.subject.der);
}

/** Whether a list names this certificate; the caller has checked that both have the same issuer. */
export function isRevoked(list: RevocationList, certificate: Pick<Certificate, 'serial'>): boolean {
  return list.revoked.has(certificate.serial);
}
