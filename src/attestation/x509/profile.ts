import { hexToBytes } from '@noble/hashes/utils.js';
import { sameBytes } from '../encoding/bytes.ts';
import type { AlgorithmIdentifier, Certificate } from './certificate.ts';

/**
 * The algorithms and extensions that the AMD certificate profile allows (AMD 57230). Anything else is refused before
 * a key is used, so that no algorithm can be confused with another.
 */

const OID_RSASSA_PSS = '1.2.840.113549.1.1.10';
/** RSA-4096: as long as its modulus. */
const RSA_SIGNATURE_BYTES = 512;

/** RSASSA-PSS-params (RFC 4055): SHA-384, MGF1 with SHA-384, salt 48, and without the default trailer. */
const PSS_FIELDS =
  'a00f300d06096086480165030402020500a11c301a06092a864886f70d010108300d06096086480165030402020500a203020130';
/** The roots write the default trailer field out, which DER would leave out. */
const PSS_TRAILER = 'a303020101';
const PSS_PARAMETERS = [`3034${PSS_FIELDS}`, `3039${PSS_FIELDS}${PSS_TRAILER}`].map(hexToBytes);

/** Place of a certificate in a path of three. */
export type PathRole = 'leaf' | 'intermediate' | 'root';

/** Extensions that may be critical because they are understood: keyUsage and basicConstraints. */
const KNOWN_CRITICAL: readonly string[] = ['2.5.29.15', '2.5.29.19'];

/** RSASSA-PSS with SHA-384 in every part, in one of the two encodings of AMD's certificates. */
export function isPssSha384(algorithm: AlgorithmIdentifier): boolean {
  const { oid, parameters } = algorithm;
  return oid === OID_RSASSA_PSS && PSS_PARAMETERS.some((form) => sameBytes(form, parameters));
}

/** DER of a name without parts. */
const EMPTY_NAME_BYTES = 2;

const nameText = ({ subject }: Certificate): string => subject.commonName ?? '(no name)';

export function hasP384Key(certificate: Certificate): boolean {
  return certificate.key?.kind === 'P-384';
}

/**
 * nameConstraints, policyConstraints and inhibitAnyPolicy: they must be critical, and limit what an authority may certify.
 * Ignoring one whose flag is missing would accept what the authority above excluded.
 */
const CONSTRAINTS: readonly string[] = ['2.5.29.30', '2.5.29.36', '2.5.29.54'];

/** Critical extensions that are not understood, as sentences. */
export function criticalProblems(certificate: Certificate, known: readonly string[] = []): string[] {
  const name = nameText(certificate);
  return certificate.extensions
    .filter(({ oid, critical }) => critical || CONSTRAINTS.includes(oid))
    .filter(({ oid }) => !KNOWN_CRITICAL.includes(oid) && !known.includes(oid))
    .map(({ oid }) => `${name} has the unknown critical extension ${oid}`);
}

/** Why a certificate at the end of a path contradicts its place; null if it does not. */
export function endEntityProblem(certificate: Certificate): string | null {
  const name = nameText(certificate);
  if (certificate.isCa) return `${name} is a CA`;
  // RFC 5280 4.2.1.9: only a CA may have it.
  if (certificate.keyUsage?.keyCertSign === true) return `${name} may sign certificates and is not a CA`;
  return null;
}

/**
 * Why a certificate may not have issued the one below it (RFC 5280 6.1.4); null if it may.
 *
 * @param below CA certificates between it and the leaf.
 */
export function authorityProblem(certificate: Certificate, below: number): string | null {
  const name = nameText(certificate);
  if (!certificate.isCa || certificate.keyUsage?.keyCertSign !== true) return `${name} is not a CA`;
  // RFC 5280 4.1.2.6: what it issues would name nobody as the issuer.
  if (certificate.subject.der.length === EMPTY_NAME_BYTES) return 'a CA has no name';
  const { pathLength } = certificate;
  if (pathLength !== null && below > pathLength)
    return `${name} allows ${pathLength} CAs below it, not ${below}`;
  return null;
}

/**
 * Violations of the profile in a certificate; empty if there are none.
 *
 * @param role place in the path: the endorsement certificate, its CA, the root.
 */
export function profileProblems(certificate: Certificate, role: PathRole): string[] {
  const name = nameText(certificate);
  const problems: string[] = [];
  if (!isPssSha384(certificate.signatureAlgorithm))
    problems.push(`${name} is not signed with RSA-PSS SHA-384`);
  if (certificate.signature.length !== RSA_SIGNATURE_BYTES)
    problems.push(`${name} is not signed by RSA-4096`);
  problems.push(...criticalProblems(certificate));
  if (role !== 'leaf') {
    const problem = authorityProblem(certificate, role === 'root' ? 1 : 0);
    if (problem !== null) problems.push(problem);
    if (certificate.key?.kind !== 'rsa') problems.push(`${name} has no RSA key`);
  } else {
    const problem = endEntityProblem(certificate);
    if (problem !== null) problems.push(problem);
  }
  return problems;
}
