import type { CheckList } from '../appraisal/verdict.ts';
import { sameBytes } from '../encoding/bytes.ts';
import type { Certificate, Name } from './certificate.ts';
import { isSignedBy, type SignatureContext } from './signature.ts';
import { isoTime } from './time.ts';

/** Certification paths of three certificates: leaf, intermediate, self-signed root. Names only help to find them. */

export interface Path {
  readonly leaf: Certificate;
  readonly intermediate: Certificate;
  readonly root: Certificate;
}

export const sameName = (a: Name, b: Name): boolean => sameBytes(a.der, b.der);

export const nameOf = (certificate: Certificate): string => certificate.subject.commonName ?? '?';

/** What building a path needs. */
export interface PathContext extends SignatureContext {
  /** Time of appraisal, milliseconds since 1970. */
  readonly at: number;
}

export const isValidAt = ({ notBefore, notAfter }: Certificate, at: number): boolean =>
  at >= notBefore && at <= notAfter;

/**
 * The issuer of a certificate among others: the one whose key signed it, else one of that name. Of several certificates of
 * the same key, one that is valid comes first, since a renewed authority keeps its name and often its key.
 */
export function findIssuer(
  of: Certificate,
  all: readonly Certificate[],
  context: PathContext,
): { readonly issuer: Certificate; readonly signed: boolean } | null {
  const named = all.filter((certificate) => sameName(certificate.subject, of.issuer));
  const order = (certificate: Certificate): number => (isValidAt(certificate, context.at) ? 0 : 1);
  const candidates = named.length > 1 ? named.toSorted((a, b) => order(a) - order(b)) : named;
  const issuer = candidates.find((candidate) => isSignedBy(of, candidate, context));
  if (issuer !== undefined) return { issuer, signed: true };
  return candidates[0] === undefined ? null : { issuer: candidates[0], signed: false };
}

const found = (link: { readonly signed: boolean } | null): string =>
  link === null ? 'no such certificate' : link.signed ? 'signed' : 'invalid signature';

/**
 * Finds the authorities above a leaf and records `chain.intermediate` and `chain.root-signature`.
 *
 * @returns the path if it is complete, even if a signature in it is invalid
 */
export function buildPath(
  leaf: Certificate,
  all: readonly Certificate[],
  context: PathContext,
  checks: CheckList,
): Path | null {
  const first = findIssuer(leaf, all, context);
  const leafIssuer = leaf.issuer.commonName ?? 'its issuer';
  checks.record('chain.intermediate', first?.signed === true, `signed by ${leafIssuer}`, found(first));
  if (first === null) return null;
  const { issuer: intermediate } = first;
  const second = findIssuer(intermediate, all, context);
  const selfSigned = second !== null && isSignedBy(second.issuer, second.issuer, context);
  checks.record(
    'chain.root-signature',
    second?.signed === true && selfSigned,
    `signed by ${intermediate.issuer.commonName ?? 'its issuer'}, which is self-signed`,
    second?.signed === true && !selfSigned ? 'the root is not self-signed' : found(second),
  );
  return second === null ? null : { leaf, intermediate, root: second.issuer };
}

/** Records `chain.validity`: every certificate is valid at the time of appraisal, both ends included. */
export function checkValidity(certificates: readonly Certificate[], at: number, checks: CheckList): void {
  const outside = certificates.filter((certificate) => !isValidAt(certificate, at));
  const shown = (outside.length > 0 ? outside : certificates).map(
    (c) => `${nameOf(c)} ${isoTime(c.notBefore)} to ${isoTime(c.notAfter)}`,
  );
  checks.record('chain.validity', outside.length === 0, `valid at ${isoTime(at)}`, shown.join('; '));
}
