import type { AttestationCrypto } from '../../crypto/crypto-port.ts';
import { CocosError } from '../../errors.ts';
import type { Collateral } from '../collateral/collateral.ts';
import type { AppraisalPolicy } from '../policy/policy.ts';
import type { Certificate } from '../x509/certificate.ts';
import type { CertificateCache } from '../x509/certificate-cache.ts';
import type { RevocationList } from '../x509/crl.ts';
import { sameName } from '../x509/path.ts';
import { type CheckName, isCheckName } from './checks.ts';
import type { CheckList } from './verdict.ts';

/** Input of every appraisal besides the evidence. */
export interface AppraisalContext {
  readonly policy: AppraisalPolicy;
  readonly collateral: Collateral;
  /** Time of appraisal, milliseconds since 1970. */
  readonly at: number;
  readonly crypto: AttestationCrypto;
  /** Certificates of earlier appraisals; it only affects speed. */
  readonly cache: CertificateCache;
}

/** Runs one parser and records its outcome; hostile bytes become a failed check (`recordThrown`). */
export function parseChecked<T>(
  checks: CheckList,
  name: CheckName,
  expected: string,
  parser: () => T,
): T | null {
  try {
    const value = parser();
    checks.record(name, true, expected, 'well-formed');
    return value;
  } catch (thrown) {
    recordThrown(checks, name, expected, thrown);
    return null;
  }
}

/** Records the check that an error names in `details.check`, else `name`, as failed. */
export function recordThrown(checks: CheckList, name: CheckName, expected: string, thrown: unknown): void {
  const { details, message } = CocosError.from(thrown);
  const { check } = details;
  checks.record(isCheckName(check) ? check : name, false, expected, message);
}

export interface Endorsements {
  /** Certificates of the evidence only. */
  readonly own: readonly Certificate[];
  /** Certificates of the evidence, and those of the collateral whose subject the evidence lacks. */
  readonly certificates: readonly Certificate[];
  readonly revocationLists: readonly RevocationList[];
}

/**
 * Parses the certificates of the evidence and of the collateral, and records `certificates.parse`.
 *
 * Collateral only supplies missing certificates: it never replaces a certificate of the evidence, so that a damaged one
 * is not hidden.
 */
export function parseEndorsements(
  ders: readonly Uint8Array[],
  { collateral, cache }: AppraisalContext,
  checks: CheckList,
): Endorsements {
  const lists = collateral.revocationLists;
  const expected = `${ders.length + collateral.certificates.length} certificates, ${lists.length} revocation lists`;
  const parsed = parseChecked(checks, 'certificates.parse', expected, () => ({
    own: ders.map((der) => cache.certificate(der)),
    others: collateral.certificates.map((der) => cache.certificate(der)),
    revocationLists: lists.map((der) => cache.revocationList(der)),
  }));
  if (parsed === null) return { own: [], certificates: [], revocationLists: [] };
  const { own, others, revocationLists } = parsed;
  const added = others.filter(
    (other) => !own.some((certificate) => sameName(certificate.subject, other.subject)),
  );
  return { own, certificates: [...own, ...added], revocationLists };
}

/** Records `policy.platform`. */
export function checkPlatform(
  platform: 'snp' | 'tdx' | 'emulated',
  context: AppraisalContext,
  checks: CheckList,
): void {
  const { platforms } = context.policy;
  checks.record('policy.platform', platforms.includes(platform), platforms.join(' or '), platform);
}
