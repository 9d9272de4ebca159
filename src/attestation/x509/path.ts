import type { CheckList } from '../appraisal/verdict.ts';
import { compareBytes, sameBytes } from '../encoding/bytes.ts';
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

/** An order of certificates that depends on nothing but them: valid ones first, then those that are valid longest. */
const compare =
  (at: number) =>
  (a: Certificate, b: Certificate): number =>
    Number(isValidAt(b, at)) - Number(isValidAt(a, at)) ||
    b.notAfter - a.notAfter ||
    compareBytes(a.der, b.der);

/** Certificates in an order that their order in files does not influence. */
export const inOrder = (list: readonly Certificate[], { at }: PathContext): readonly Certificate[] =>
  list.length < 2 ? list : list.toSorted(compare(at));

const named = (of: Certificate, all: readonly Certificate[], context: PathContext): readonly Certificate[] =>
  inOrder(
    all.filter((certificate) => sameName(certificate.subject, of.issuer)),
    context,
  );

/**
 * Every certificate whose key signed another. There may be several of one key, since a renewed authority keeps its name and
 * often its key, and another authority may have certified it too.
 */
export const issuersOf = (
  of: Certificate,
  all: readonly Certificate[],
  context: PathContext,
): readonly Certificate[] =>
  named(of, all, context).filter((candidate) => isSignedBy(of, candidate, context));

interface Link {
  readonly issuer: Certificate;
  readonly signed: boolean;
}

/** The two links above a leaf; the second is missing when nothing has the name of the issuer. */
interface Links {
  readonly first: Link;
  readonly second: Link | undefined;
}

/** The links above a certificate: to those that signed it, else to one of the issuer's name, to say what is wrong. */
function linksAbove(of: Certificate, all: readonly Certificate[], context: PathContext): readonly Link[] {
  const signers = issuersOf(of, all, context);
  if (signers.length > 0) return signers.map((issuer) => ({ issuer, signed: true }));
  return named(of, all, context)
    .slice(0, 1)
    .map((issuer) => ({ issuer, signed: false }));
}

const found = (link: Link | undefined): string =>
  link === undefined ? 'no such certificate' : link.signed ? 'signed' : 'invalid signature';

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
  const pairs = linksAbove(leaf, all, context).flatMap((first): Links[] => {
    const above = linksAbove(first.issuer, all, context);
    return above.length === 0 ? [{ first, second: undefined }] : above.map((second) => ({ first, second }));
  });
  const isSelfSigned = (root: Certificate): boolean => isSignedBy(root, root, context);
  const isWhole = ({ first, second }: Links): boolean =>
    first.signed &&
    second?.signed === true &&
    isValidAt(first.issuer, context.at) &&
    isValidAt(second.issuer, context.at) &&
    isSelfSigned(second.issuer);
  // A single pair is checked once, below.
  const chosen = pairs.length < 2 ? pairs[0] : (pairs.find(isWhole) ?? pairs[0]);
  const { first, second } = chosen ?? {};
  const leafIssuer = leaf.issuer.commonName ?? 'its issuer';
  checks.record('chain.intermediate', first?.signed === true, `signed by ${leafIssuer}`, found(first));
  if (first === undefined) return null;
  const { issuer: intermediate } = first;
  const selfSigned = second !== undefined && isSelfSigned(second.issuer);
  checks.record(
    'chain.root-signature',
    second?.signed === true && selfSigned,
    `signed by ${intermediate.issuer.commonName ?? 'its issuer'}, which is self-signed`,
    second?.signed === true && !selfSigned ? 'the root is not self-signed' : found(second),
  );
  return second === undefined ? null : { leaf, intermediate, root: second.issuer };
}

/** Records `chain.validity`: every certificate is valid at the time of appraisal, both ends included. */
export function checkValidity(certificates: readonly Certificate[], at: number, checks: CheckList): void {
  const outside = certificates.filter((certificate) => !isValidAt(certificate, at));
  const shown = (outside.length > 0 ? outside : certificates).map(
    (c) => `${nameOf(c)} ${isoTime(c.notBefore)} to ${isoTime(c.notAfter)}`,
  );
  checks.record('chain.validity', outside.length === 0, `valid at ${isoTime(at)}`, shown.join('; '));
}
