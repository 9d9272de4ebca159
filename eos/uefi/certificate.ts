import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
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

/** Certificates of Secure Boot keys: RSA with SHA-256, the kind that every UEFI firmware takes. */

const OID = {
  commonName: '2.5.4.3',
  sha256WithRsa: '1.2.840.113549.1.1.11',
  basicConstraints: '2.5.29.19',
  subjectKeyId: '2.5.29.14',
} as const;
const RSA_BITS = 3072;
/** Firmware looks at no dates here; the validity only has to be well-formed. */
const NOT_BEFORE = Date.UTC(2020, 0, 1);
const NOT_AFTER = Date.UTC(2049, 11, 31);

export interface CertifiedKey {
  /** PEM. */
  readonly key: string;
  /** DER. */
  readonly certificate: Uint8Array;
}

/** A new key with a certificate that it signs itself. */
export function makeSelfSigned(commonName: string): CertifiedKey {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: RSA_BITS });
  return {
    key: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
    certificate: selfSign(commonName, publicKey, privateKey),
  };
}

function selfSign(commonName: string, publicKey: KeyObject, privateKey: KeyObject): Uint8Array {
  const spki = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }));
  const digest = createHash('sha256').update(spki).digest();
  const algorithm = sequence(oid(OID.sha256WithRsa), derNull());
  const name = sequence(set(sequence(oid(OID.commonName), utf8String(commonName))));
  const extensions = sequence(
    sequence(oid(OID.basicConstraints), derTrue(), octetString(sequence(derTrue()))),
    sequence(oid(OID.subjectKeyId), octetString(octetString(digest.subarray(0, 20)))),
  );
  const tbs = sequence(
    explicit(0, integer(2)),
    integerOf(digest.subarray(0, 16)),
    algorithm,
    name,
    sequence(time(NOT_BEFORE), time(NOT_AFTER)),
    name,
    spki,
    explicit(3, extensions),
  );
  return sequence(tbs, algorithm, bitString(new Uint8Array(sign('sha256', tbs, privateKey))));
}

/** One DER element at an offset: where it begins, where its content does, and where it ends. */
function elementAt(der: Uint8Array, at: number): { content: number; end: number } {
  const first = der[at + 1] ?? 0;
  const count = first < 0x80 ? 0 : first & 0x7f;
  let length = count === 0 ? first : 0;
  for (let i = 0; i < count; i++) length = length * 256 + (der[at + 2 + i] ?? 0);
  const content = at + 2 + count;
  if (content + length > der.length) throw new Error('a certificate is cut off');
  return { content, end: content + length };
}

/** IssuerAndSerialNumber of a certificate (RFC 2315, 6.7). */
export function issuerAndSerial(certificate: Uint8Array): Uint8Array {
  const tbs = elementAt(certificate, elementAt(certificate, 0).content);
  let at = tbs.content;
  // The version is there in every certificate but those of version 1.
  if (certificate[at] === 0xa0) at = elementAt(certificate, at).end;
  const serial = certificate.subarray(at, elementAt(certificate, at).end);
  at = elementAt(certificate, at).end;
  at = elementAt(certificate, at).end;
  return sequence(certificate.subarray(at, elementAt(certificate, at).end), serial);
}
