import { createHash, verify, X509Certificate } from 'node:crypto';
import { authenticodeDigest, parsePe } from '../../attestation/measure/pe.ts';
import { readVariables } from '../../attestation/measure/variable-store.ts';
import { contextTag, DerReader, oidText, readOnly, TAG } from '../../attestation/x509/der.ts';
import { attestationCrypto } from '../../crypto/attestation-crypto.ts';
import { CocosError } from '../../errors.ts';

/** Judges the Authenticode signature of a kernel image as Secure Boot does: by the certificates of `db`. */

const SIGNED_DATA = '1.2.840.113549.1.7.2';
const MESSAGE_DIGEST = '1.2.840.113549.1.9.4';
/** EFI_CERT_X509_GUID (UEFI 2.10, 32.4.1) as it stands in memory. */
const X509_LIST = Buffer.from('a159c0a5e494a74a87b5ab155c2bf072', 'hex');
const LIST_HEADER_BYTES = 28;
const OWNER_BYTES = 16;
/** Header of a WIN_CERTIFICATE. */
const ENTRY_HEADER_BYTES = 8;

export type SignatureState = 'unsigned' | 'valid' | 'invalid';

const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

/** Certificates of `db` in a variable store, DER. @throws CocosError MEASURE_UNSUPPORTED */
export function trustedCertificates(variables: Uint8Array): Uint8Array[] {
  const data = Buffer.from(readVariables(variables).find(({ name }) => name === 'db')?.data ?? []);
  const found: Uint8Array[] = [];
  for (let at = 0; at + LIST_HEADER_BYTES <= data.length; ) {
    const [size, header, entry] = [16, 20, 24].map((field) => data.readUInt32LE(at + field));
    if (size === undefined || header === undefined || entry === undefined) break;
    if (size < LIST_HEADER_BYTES + header || entry <= OWNER_BYTES || at + size > data.length) {
      throw new CocosError(
        'MEASURE_UNSUPPORTED',
        'The signature database (db) in the firmware variables is malformed.',
      );
    }
    const isCertificate = data.subarray(at, at + 16).equals(X509_LIST);
    for (let next = at + LIST_HEADER_BYTES + header; next + entry <= at + size; next += entry) {
      if (isCertificate) found.push(data.subarray(next + OWNER_BYTES, next + entry));
    }
    at += size;
  }
  return found;
}

/**
 * @param image a PE file
 * @param trusted DER of the certificates whose keys may have signed it
 */
export function judgeSignature(image: Uint8Array, trusted: readonly Uint8Array[]): SignatureState {
  const { offset, size } = parsePe(image).certificates;
  if (size === 0) return 'unsigned';
  try {
    const table = Buffer.from(image.subarray(offset, offset + size));
    const length = table.readUInt32LE(0);
    const { content, attributes, signature } = readSignedData(
      trim(table.subarray(ENTRY_HEADER_BYTES, length)),
    );
    const digest = authenticodeDigest(image, attestationCrypto.sha256);
    const isOfImage = Buffer.from(imageDigest(content)).equals(digest);
    const isOfContent = attributes.digest.equals(sha256(content));
    const isSigned = trusted.some((certificate) =>
      verify('sha256', attributes.signed, new X509Certificate(certificate).publicKey, signature),
    );
    return isOfImage && isOfContent && isSigned ? 'valid' : 'invalid';
  } catch {
    return 'invalid';
  }
}

/** Removes the zeros that align the table. */
function trim(padded: Uint8Array): Uint8Array {
  return new DerReader(padded).expect(TAG.sequence, 'SignedData').encoded;
}

function readSignedData(der: Uint8Array) {
  const outer = new DerReader(readOnly(der, TAG.sequence, 'ContentInfo').content);
  if (oidText(outer.expect(TAG.oid, 'kind'), 'kind') !== SIGNED_DATA) throw new Error('another kind');
  const wrapped = outer.expect(contextTag(0), 'SignedData').content;
  const data = new DerReader(readOnly(wrapped, TAG.sequence, 'SignedData').content);
  data.expect(TAG.integer, 'version');
  data.expect(TAG.set, 'algorithms');
  const info = new DerReader(data.expect(TAG.sequence, 'content').content);
  info.expect(TAG.oid, 'kind of content');
  const value = readOnly(info.expect(contextTag(0), 'content').content, TAG.sequence, 'content');
  data.expect(contextTag(0), 'certificates');
  const signers = data.expect(TAG.set, 'signers').content;
  const signer = new DerReader(readOnly(signers, TAG.sequence, 'signer').content);
  signer.expect(TAG.integer, 'version');
  signer.expect(TAG.sequence, 'issuer and serial');
  signer.expect(TAG.sequence, 'digest algorithm');
  const attributes = signer.expect(contextTag(0), 'attributes');
  signer.expect(TAG.sequence, 'signature algorithm');
  const signature = signer.expect(TAG.octetString, 'signature').content;
  return {
    content: value.content,
    signature,
    // The signature covers the attributes with the tag SET, not with their context tag (RFC 2315, 9.3).
    attributes: { digest: messageDigest(attributes.content), signed: asSet(attributes.encoded) },
  };
}

function asSet(encoded: Uint8Array): Buffer {
  const bytes = Buffer.from(encoded);
  bytes[0] = TAG.set;
  return bytes;
}

function messageDigest(attributes: Uint8Array): Buffer {
  for (let rest = attributes; rest.length > 0; ) {
    const attribute = new DerReader(rest).expect(TAG.sequence, 'attribute');
    rest = rest.subarray(attribute.encoded.length);
    const reader = new DerReader(attribute.content);
    if (oidText(reader.expect(TAG.oid, 'kind'), 'kind') !== MESSAGE_DIGEST) continue;
    const values = reader.expect(TAG.set, 'values').content;
    return Buffer.from(readOnly(values, TAG.octetString, 'digest').content);
  }
  throw new Error('no digest of the content');
}

/** SpcIndirectDataContent: data, then DigestInfo. */
function imageDigest(content: Uint8Array): Uint8Array {
  const reader = new DerReader(content);
  reader.expect(TAG.sequence, 'data');
  const digest = new DerReader(reader.expect(TAG.sequence, 'DigestInfo').content);
  digest.expect(TAG.sequence, 'algorithm');
  return digest.expect(TAG.octetString, 'digest').content;
}
