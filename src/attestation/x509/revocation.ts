import type { CheckList } from '../appraisal/verdict.ts';
import type { Certificate } from './certificate.ts';
import { crlIsOf, isRevoked, type RevocationList } from './crl.ts';
import { nameOf } from './path.ts';
import { isSignedBy, type SignatureContext } from './signature.ts';
import { isoTime } from './time.ts';

/** Revocation of the certificates of a chain (RFC 5280 6.3), from lists that are at hand. */

export interface RevocationInput {
  /** Authorities whose list is wanted, with the certificates that each of them issued. */
  readonly issued: readonly {
    readonly authority: Certificate;
    readonly certificates: readonly Certificate[];
  }[];
  readonly lists: readonly RevocationList[];
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Whether evidence without lists is refused. */
  readonly required: boolean;
  /** Why not, if it is not. */
  readonly waiver: string;
  /** Where the vendor publishes the lists. */
  readonly source: string;
}

/** Whether an authority issued a list: of its name, by a key that may sign lists (RFC 5280 6.3.3 f), with its signature. */
export const isListOf = (list: RevocationList, authority: Certificate, context: SignatureContext): boolean =>
  crlIsOf(list, authority) && authority.keyUsage?.cRLSign !== false && isSignedBy(list, authority, context);

/**
 * Records `chain.revocation-list` and `chain.revocation`. A list counts only when its authority signed it; a stale one
 * fails the first check, but what it revokes stays revoked.
 */
export function checkRevocation(input: RevocationInput, context: SignatureContext, checks: CheckList): void {
  const { at, lists, required, waiver, source } = input;
  const found: string[] = [];
  const problems: string[] = [];
  const revoked: string[] = [];
  const absent: string[] = [];
  for (const { authority, certificates } of input.issued) {
    const own = lists.filter((list) => crlIsOf(list, authority));
    const signed = own.filter((list) => isListOf(list, authority, context));
    if (authority.keyUsage?.cRLSign === false && own.length > 0)
      problems.push(`${nameOf(authority)} may not sign revocation lists`);
    else if (signed.length < own.length)
      problems.push(`a list of ${nameOf(authority)} has an invalid signature`);
    if (own.length === 0) absent.push(nameOf(authority));
    const current = signed.find((list) => at >= list.thisUpdate && at <= list.nextUpdate);
    const newest = signed.toSorted((a, b) => b.thisUpdate - a.thisUpdate)[0];
    if (current !== undefined) found.push(`${nameOf(authority)} until ${isoTime(current.nextUpdate)}`);
    else if (newest !== undefined) {
      const span = `${isoTime(newest.thisUpdate)} to ${isoTime(newest.nextUpdate)}`;
      problems.push(`the list of ${nameOf(authority)} is valid from ${span}`);
    }
    const named = certificates.filter((certificate) => signed.some((list) => isRevoked(list, certificate)));
    revoked.push(...named.map((certificate) => `${nameOf(certificate)}, serial ${certificate.serial}`));
  }
  const lacking = `no revocation list of ${absent.join(' and ')}`;
  const note = required ? `${lacking}, which the vendor publishes at ${source}` : `${lacking}; ${waiver}`;
  if (problems.length > 0) {
    checks.record('chain.revocation-list', false, `current at ${isoTime(at)}`, problems.join('; '));
  } else if (absent.length > 0) {
    if (required) checks.missing('chain.revocation-list', note);
    else checks.notChecked('chain.revocation-list', note);
  } else {
    checks.record('chain.revocation-list', true, `current at ${isoTime(at)}`, found.join('; '));
  }
  if (revoked.length > 0) {
    checks.record('chain.revocation', false, 'none revoked', revoked.join('; '));
  } else if (absent.length > 0) {
    if (required) checks.missing('chain.revocation', note);
    else checks.notChecked('chain.revocation', note);
  } else {
    checks.record('chain.revocation', true, 'none revoked', 'none revoked');
  }
}
