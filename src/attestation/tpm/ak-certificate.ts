import type { AppraisalContext } from '../appraisal/context.ts';
import type { Certificate } from '../x509/certificate.ts';
import { isRevoked } from '../x509/crl.ts';
import { DerReader, oidText, readOnly, TAG } from '../x509/der.ts';
import { findIssuer, isValidAt, nameOf } from '../x509/path.ts';
import { authorityProblem, criticalProblems, endEntityProblem } from '../x509/profile.ts';
import { sameKey } from '../x509/public-key.ts';
import { isListOf } from '../x509/revocation.ts';
import { isoTime } from '../x509/time.ts';
import type { AttestationKey } from './public-area.ts';

/** Certificates of attestation keys, up to a root that the policy names (RFC 5280 6.1). */

const MAX_DEPTH = 5;
const OID_EXTENDED_KEY_USAGE = '2.5.29.37';
const OID_SUBJECT_ALTERNATIVE_NAME = '2.5.29.17';
/** tcg-kp-AIKCertificate (TCG Credential Profiles): a CA says with it that the key is one of a TPM that only signs what the TPM made. */
const AIK_CERTIFICATE = '2.23.133.8.3';
const ANY_PURPOSE = '2.5.29.37.0';
/** May be critical: the usage is checked, and names of machines are not used. */
const KNOWN_CRITICAL = [OID_EXTENDED_KEY_USAGE, OID_SUBJECT_ALTERNATIVE_NAME];

/** The purposes in extendedKeyUsage. @throws CocosError EVIDENCE_INVALID */
function purposesOf({ extensions }: Certificate): string[] {
  const extension = extensions.find(({ oid }) => oid === OID_EXTENDED_KEY_USAGE);
  if (extension === undefined) return [];
  const reader = new DerReader(readOnly(extension.value, TAG.sequence, 'extendedKeyUsage').content);
  const purposes: string[] = [];
  while (!reader.done) purposes.push(oidText(reader.next(), 'purpose'));
  return purposes;
}

/**
 * Why an authority may not certify attestation keys; null if it may. Purposes of an authority limit those of what it
 * issues, as public authorities use them, and any purpose includes this one.
 */
function purposeProblem(authority: Certificate): string | null {
  const purposes = purposesOf(authority);
  if (purposes.length === 0 || purposes.includes(AIK_CERTIFICATE) || purposes.includes(ANY_PURPOSE))
    return null;
  return `${nameOf(authority)} is for other purposes than attestation keys (${purposes.join(', ')})`;
}

/** Why a certificate is not that of an attestation key; null if it is. */
function leafProblem(certificate: Certificate): string | null {
  const name = nameOf(certificate);
  const problem = endEntityProblem(certificate);
  if (problem !== null) return problem;
  if (certificate.keyUsage?.digitalSignature === false) return `the key of ${name} may not sign data`;
  if (!purposesOf(certificate).includes(AIK_CERTIFICATE))
    return `${name} is not a certificate of an attestation key (its extended key usage lacks ${AIK_CERTIFICATE})`;
  return null;
}

/**
 * Why the certificates do not endorse a key; null if they do: one of them is a certificate of an attestation key with this
 * key, and each is valid and signed by the next, a CA, up to a trusted root.
 *
 * @param ders DER, in any order.
 * @throws CocosError EVIDENCE_INVALID when a certificate is malformed.
 */
export function endorsementProblem(
  key: AttestationKey,
  ders: readonly Uint8Array[],
  context: AppraisalContext,
): string | null {
  const { crypto, at, policy, cache, collateral } = context;
  const lists = collateral.revocationLists.map((der) => cache.revocationList(der));
  const all = ders.map((der) => cache.certificate(der));
  const isTrusted = (certificate: Certificate): boolean =>
    policy.vtpm.trustedRoots.includes(`sha256:${cache.fingerprint(certificate, crypto)}`);
  let current = all.find((certificate) => sameKey(certificate.key, key.key));
  if (current === undefined) return 'no certificate contains this key';
  const problem = leafProblem(current);
  if (problem !== null) return problem;
  for (let depth = 0; depth < MAX_DEPTH; depth += 1) {
    if (!isValidAt(current, at)) return `${nameOf(current)} is not valid at ${isoTime(at)}`;
    const [critical] = criticalProblems(current, KNOWN_CRITICAL);
    if (critical !== undefined) return critical;
    if (isTrusted(current)) return null;
    const found = findIssuer(current, all, context);
    if (found === null || !found.signed) return `no certificate endorses ${nameOf(current)}`;
    const { issuer } = found;
    const certificate = current;
    if (lists.some((list) => isRevoked(list, certificate) && isListOf(list, issuer, context)))
      return `${nameOf(current)} is revoked`;
    // Of the certificates below the issuer, all but the first are CAs.
    const authority = authorityProblem(issuer, depth) ?? purposeProblem(issuer);
    if (authority !== null) return authority;
    if (issuer === current) return `the root ${nameOf(issuer)} is not trusted`;
    current = issuer;
  }
  return 'the certificate chain is too long';
}
