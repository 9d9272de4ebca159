import { createHash, createPrivateKey, sign } from 'node:crypto';
import { authenticodeDigest, parsePe } from '../../src/attestation/measure/pe.ts';
import {
  bitString,
  derNull,
  element,
  explicit,
  integer,
  octetString,
  oid,
  sequence,
  set,
} from '../../src/attestation/x509/der-writer.ts';
import { attestationCrypto } from '../../src/crypto/attestation-crypto.ts';
import { issuerAndSerial } from './certificate.ts';

/** Authenticode signatures (Microsoft "Windows Authenticode Portable Executable Signature Format"). */

const OID = {
  signedData: '1.2.840.113549.1.7.2',
  contentType: '1.2.840.113549.1.9.3',
  messageDigest: '1.2.840.113549.1.9.4',
  rsa: '1.2.840.113549.1.1.1',
  sha256: '2.16.840.1.101.3.4.2.1',
  indirectData: '1.3.6.1.4.1.311.2.1.4',
  peImageData: '1.3.6.1.4.1.311.2.1.15',
} as const;
const REVISION_2 = 0x0200;
const PKCS_SIGNED_DATA = 0x0002;
const ALIGNMENT = 8;

/** A key that db trusts, with its certificate in DER. */
export interface Signer {
  /** PEM of an RSA key. */
  readonly key: string;
  readonly certificate: Uint8Array;
}

const sha256Algorithm = (): Uint8Array => sequence(oid(OID.sha256), derNull());

/** PKCS #7 SignedData over the digest of an image. It has no time, so the same image gives the same bytes. */
function signedData(digest: Uint8Array, { key, certificate }: Signer): Uint8Array {
  // SpcPeImageData: no flags, and the empty file name that readers expect.
  const peImageData = sequence(bitString(new Uint8Array()), explicit(0, explicit(2, element(0x80))));
  const content = sequence(
    sequence(oid(OID.peImageData), peImageData),
    sequence(sha256Algorithm(), octetString(digest)),
  );
  // What is digested is the value of the content, without its own tag and length.
  const header = content[1] ?? 0;
  const value = content.subarray(header < 0x80 ? 2 : 2 + (header & 0x7f));
  const contentDigest = createHash('sha256').update(value).digest();
  const attributes = [
    sequence(oid(OID.contentType), set(oid(OID.indirectData))),
    sequence(oid(OID.messageDigest), set(octetString(contentDigest))),
  ];
  const signature = sign('sha256', set(...attributes), createPrivateKey(key));
  const signerInfo = sequence(
    integer(1),
    issuerAndSerial(certificate),
    sha256Algorithm(),
    element(0xa0, ...attributes),
    sequence(oid(OID.rsa), derNull()),
    octetString(signature),
  );
  const data = sequence(
    integer(1),
    set(sha256Algorithm()),
    sequence(oid(OID.indirectData), explicit(0, content)),
    element(0xa0, certificate),
    set(signerInfo),
  );
  return sequence(oid(OID.signedData), explicit(0, data));
}

/** The image with a signature in its certificate table. It must have none yet. */
export function signImage(image: Uint8Array, signer: Signer): Buffer {
  if (parsePe(image).certificates.size !== 0) throw new Error('the image is signed already');
  const body = Buffer.concat([image, Buffer.alloc(-image.length & (ALIGNMENT - 1))]);
  const pkcs7 = signedData(authenticodeDigest(body, attestationCrypto.sha256), signer);
  const header = Buffer.alloc(8);
  const padding = Buffer.alloc(-(header.length + pkcs7.length) & (ALIGNMENT - 1));
  header.writeUInt32LE(header.length + pkcs7.length + padding.length, 0);
  header.writeUInt16LE(REVISION_2, 4);
  header.writeUInt16LE(PKCS_SIGNED_DATA, 6);
  const { entry } = parsePe(body).certificates;
  const table = Buffer.concat([header, pkcs7, padding]);
  body.writeUInt32LE(body.length, entry);
  body.writeUInt32LE(table.length, entry + 4);
  return Buffer.concat([body, table]);
}
