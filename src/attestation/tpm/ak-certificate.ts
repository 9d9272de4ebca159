import type { AppraisalContext } from '../appraisal/context.ts';
import type { Certificate } from '../x509/certificate.ts';
import { isRevoked, type RevocationList } from '../x509/crl.ts';
import { DerReader, oidText, readOnly, TAG } from '../x509/der.ts';
import { inOrder, issuersOf, isValidAt, nameOf } from '../x509/path.ts';
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

/** Searches all paths from a certificate to a trusted root. Each certificate is examined once at each depth. */
class PathSearch {
  readonly #context: AppraisalContext;
  readonly #all: readonly Certificate[];
  readonly #lists: readonly RevocationList[];
  readonly #known: Map<Certificate, string | null>[] = [];

  constructor(all: readonly Certificate[], context: AppraisalContext) {
    const { cache, collateral } = context;
    this.#context = context;
    this.#all = all;
    this.#lists = collateral.revocationLists.map((der) => cache.revocationList(der));
  }

  /** Why no path leads up from a certificate; null if one does. */
  problem(certificate: Certificate, depth: number): string | null {
    const known = this.#known[depth] ?? new Map<Certificate, string | null>();
    this.#known[depth] = known;
    const before = known.get(certificate);
    if (before !== undefined) return before;
    const problem = this.#ownProblem(certificate) ?? this.#problemAbove(certificate, depth);
    known.set(certificate, problem);
    return problem;
  }

  #ownProblem(certificate: Certificate): string | null {
    const { at } = this.#context;
    if (!isValidAt(certificate, at)) return `${nameOf(certificate)} is not valid at ${isoTime(at)}`;
    return criticalProblems(certificate, KNOWN_CRITICAL)[0] ?? null;
  }

  #problemAbove(certificate: Certificate, depth: number): string | null {
    const { cache, crypto, policy } = this.#context;
    if (policy.vtpm.trustedRoots.includes(`sha256:${cache.fingerprint(certificate, crypto)}`)) return null;
    if (depth + 1 === MAX_DEPTH) return 'the certificate chain is too long';
    const issuers = issuersOf(certificate, this.#all, this.#context);
    return firstProblem(
      issuers.map((issuer) => () => this.#problemOfIssuer(certificate, issuer, depth)),
      `no certificate endorses ${nameOf(certificate)}`,
    );
  }

  #problemOfIssuer(certificate: Certificate, issuer: Certificate, depth: number): string | null {
    const isRevokedBy = (list: RevocationList): boolean =>
      isRevoked(list, certificate) && isListOf(list, issuer, this.#context);
    if (this.#lists.some(isRevokedBy)) return `${nameOf(certificate)} is revoked`;
    // Of the certificates below the issuer, all but the first are CAs.
    const problem = authorityProblem(issuer, depth) ?? purposeProblem(issuer);
    if (problem !== null) return problem;
    if (issuer === certificate) return `the root ${nameOf(issuer)} is not trusted`;
    return this.problem(issuer, depth + 1);
  }
}

/** Null if one of the attempts has no problem, else the problem of the first, or `none` without an attempt. */
function firstProblem(attempts: readonly (() => string | null)[], none: string): string | null {
  let first: string | undefined;
  for (const attempt of attempts) {
    const problem = attempt();
    if (problem === null) return null;
    first ??= problem;
  }
  return first ?? none;
}

/**
 * Why the certificates do not endorse a key; null if they do: one of them is a certificate of an attestation key with this
 * key, and each is valid and signed by the next, a CA, up to a trusted root. Any path that is valid suffices.
 *
 * @param ders DER, in any order.
 * @throws CocosError EVIDENCE_INVALID when a certificate is malformed.
 */
export function endorsementProblem(
  key: AttestationKey,
  ders: readonly Uint8Array[],
  context: AppraisalContext,
): string | null {
  const all = ders.map((der) => context.cache.certificate(der));
  const search = new PathSearch(all, context);
  const leaves = inOrder(
    all.filter((certificate) => sameKey(certificate.key, key.key)),
    context,
  );
  return firstProblem(
    leaves.map((leaf) => () => leafProblem(leaf) ?? search.problem(leaf, 0)),
    'no certificate contains this key',
  );
}
