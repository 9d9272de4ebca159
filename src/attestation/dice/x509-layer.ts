import { bytesToHex } from '@noble/hashes/utils.js';
import type { AttestationHashes, SignatureHash } from '../../crypto/crypto-port.ts';
import { type Certificate, parseCertificate } from '../x509/certificate.ts';
import { contextTag, DerReader, derError, readOnly, TAG } from '../x509/der.ts';
import { criticalProblems } from '../x509/profile.ts';
import { ecdsaFromDer } from '../x509/signature.ts';
import type { DiceLayer } from './layer.ts';
import { DICE_MODES } from './policy-rules.ts';
import { OID_TCG_TCB_INFO, parseTcgTcbInfo } from './tcg-tcb-info.ts';

/** Certificates in X.509 (Open Profile for DICE, X.509 certificates), with the profile's extension or TCG's TCB info. */

const OID_OPEN_DICE = '1.3.6.1.4.1.11129.2.1.24';
const OID_SUBJECT_KEY_ID = '2.5.29.14';
const OID_AUTHORITY_KEY_ID = '2.5.29.35';
const TAG_ENUMERATED = 0x0a;
/** `[0] IMPLICIT` of a primitive. */
const TAG_KEY_ID = 0x80;
const ECDSA_HASHES: Readonly<Record<string, SignatureHash>> = {
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
};
const OID_ED25519 = '1.3.101.112';
const FIELD_BYTES = { 'P-256': 32, 'P-384': 48 } as const;

type Measured = Pick<
  DiceLayer,
  'codeHash' | 'configuration' | 'configurationDescriptor' | 'authorityHash' | 'mode' | 'problems'
>;

/** The profile's extension: a SEQUENCE of optional explicit fields. */
function readOpenDice(value: Uint8Array, hashes: AttestationHashes): Measured {
  const reader = new DerReader(readOnly(value, TAG.sequence, 'DICE extension').content);
  const octets = (tag: number, what: string): Uint8Array | null => {
    const field = reader.optional(contextTag(tag));
    return field === undefined ? null : readOnly(field.content, TAG.octetString, what).content;
  };
  const codeHash = octets(0, 'code hash');
  octets(1, 'code descriptor');
  const hash = octets(2, 'configuration hash');
  const descriptor = octets(3, 'configuration descriptor');
  const authorityHash = octets(4, 'authority hash');
  octets(5, 'authority descriptor');
  const modeField = reader.optional(contextTag(6));
  const number =
    modeField === undefined ? undefined : readOnly(modeField.content, TAG_ENUMERATED, 'mode').content;
  const mode = number?.length === 1 ? DICE_MODES[number[0] ?? -1] : undefined;
  if (mode === undefined) throw derError('DICE extension: the mode is missing or unknown');
  const profile = reader.optional(contextTag(7));
  if (profile !== undefined) readOnly(profile.content, TAG.utf8String, 'profile name');
  reader.end('DICE extension');
  if (codeHash === null || authorityHash === null) throw derError('DICE extension: a hash is missing');
  const differs =
    hash !== null && descriptor !== null && bytesToHex(hashes.sha512(descriptor)) !== bytesToHex(hash);
  return {
    codeHash,
    configuration: hash ?? descriptor,
    configurationDescriptor: hash === null ? null : descriptor,
    authorityHash,
    mode,
    problems: differs ? ['the configuration descriptor does not match its hash'] : [],
  };
}

function readMeasured(certificate: Certificate, hashes: AttestationHashes): Measured {
  const value = (oid: string) => certificate.extensions.find((extension) => extension.oid === oid)?.value;
  const open = value(OID_OPEN_DICE);
  const tcg = value(OID_TCG_TCB_INFO);
  // Either describes the whole layer; of two, one could say that a layer is in debug mode, and the other not.
  if (open !== undefined && tcg !== undefined)
    throw derError('a certificate has both the DICE extension and TCB info');
  if (open !== undefined) return readOpenDice(open, hashes);
  if (tcg === undefined) throw derError('a certificate has neither the DICE extension nor TCB info');
  const { digest, mode } = parseTcgTcbInfo(tcg);
  const rest = { configuration: null, configurationDescriptor: null, authorityHash: null, problems: [] };
  return { ...rest, codeHash: digest, mode };
}

/** Key identifiers in the extensions must be those in the names. */
function identifierProblems(certificate: Certificate, issuer: string, subject: string): string[] {
  const problems: string[] = [];
  for (const { oid, value } of certificate.extensions) {
    if (oid === OID_SUBJECT_KEY_ID) {
      const id = bytesToHex(readOnly(value, TAG.octetString, 'subject key identifier').content);
      if (id !== subject) problems.push('the subject key identifier does not match');
    }
    if (oid === OID_AUTHORITY_KEY_ID) {
      const reader = new DerReader(readOnly(value, TAG.sequence, 'authority key identifier').content);
      const id = bytesToHex(reader.expect(TAG_KEY_ID, 'key identifier').content);
      if (id !== issuer) problems.push('the authority key identifier does not match');
    }
  }
  if (certificate.serial !== subject) problems.push('the serial number is not the identifier of the subject');
  return problems;
}

/** How a certificate is signed; the curve of an ECDSA signature is that of the signer, derived from its size. */
function readSigned(certificate: Certificate): DiceLayer['signed'] {
  const { tbs: message, signature, signatureAlgorithm } = certificate;
  if (signatureAlgorithm.oid === OID_ED25519) return { message, signature, scheme: { kind: 'ed25519' } };
  const hash = ECDSA_HASHES[signatureAlgorithm.oid];
  // The profile pairs P-256 with SHA-256 or SHA-512, and P-384 with SHA-384 or SHA-512.
  const kind = signature.length > 2 * FIELD_BYTES['P-256'] + 9 ? 'P-384' : 'P-256';
  const raw = hash === undefined ? null : ecdsaFromDer(signature, FIELD_BYTES[kind]);
  if (hash === undefined || raw === null) throw derError('the signature algorithm is unknown');
  return { message, signature: raw, scheme: { kind, hash } };
}

/**
 * Reads one certificate.
 *
 * @throws CocosError EVIDENCE_INVALID
 */
export function parseX509Layer(der: Uint8Array, hashes: AttestationHashes): DiceLayer {
  const certificate = parseCertificate(der);
  const { key } = certificate;
  if (key === null || key.kind === 'rsa') throw derError('the subject key is of an unknown kind');
  const issuer = certificate.issuer.serialNumber;
  const subject = certificate.subject.serialNumber;
  if (issuer === null || subject === null) throw derError('a name has no identifier');
  const measured = readMeasured(certificate, hashes);
  const authority = certificate.isCa && certificate.keyUsage?.keyCertSign === true;
  return {
    encoded: der,
    issuer,
    subject,
    key,
    keyId: null,
    ...measured,
    validity: { notBefore: certificate.notBefore, notAfter: certificate.notAfter },
    pathLength: certificate.pathLength,
    problems: [
      ...measured.problems,
      ...identifierProblems(certificate, issuer, subject),
      ...criticalProblems(certificate, [OID_OPEN_DICE, OID_TCG_TCB_INFO]),
      ...(authority ? [] : ['the key may not sign certificates']),
    ],
    signed: readSigned(certificate),
  };
}
