import {
  type AppraisalContext,
  checkPlatform,
  parseChecked,
  parseEndorsements,
} from '../appraisal/context.ts';
import type { CheckList } from '../appraisal/verdict.ts';
import { parseSnpReport, type SnpReport } from './abi.ts';
import { EMULATED_ROOT_NAME, type SnpChain, verifyChain } from './chain.ts';
import { checkSnpPolicy } from './policy.ts';
import type { SnpProduct } from './products.ts';
import { verifyReport } from './verify.ts';

/** Appraisal of one SNP report: parse, verify, policy. The binding and the launch are appraised elsewhere. */

export interface SnpAppraisal {
  /** Null if the bytes are not a report. */
  readonly report: SnpReport | null;
  /** Null when no root is proven. */
  readonly chain: SnpChain | null;
  /** Whether the report is genuine: signed, with a matching certificate. */
  readonly genuine: boolean;
  /** Whether a certificate names the emulated platform, trusted or not. */
  readonly namedEmulated: boolean;
}

/** What a caller knows of the signer. */
export interface ExpectedSigner {
  readonly product?: SnpProduct | undefined;
  readonly endorsementKey?: Uint8Array | undefined;
}

/**
 * Records the checks of `SCOPES.snp`.
 *
 * @param ders certificates sent with the report
 * @param expected the product line and the endorsement certificate (DER) that the caller names, if any
 */
export function appraiseSnp(
  bytes: Uint8Array,
  ders: readonly Uint8Array[],
  context: AppraisalContext,
  checks: CheckList,
  { product, endorsementKey }: ExpectedSigner = {},
): SnpAppraisal {
  const { policy, at, crypto, cache } = context;
  const report = parseChecked(checks, 'report.parse', 'an SNP report', () => parseSnpReport(bytes));
  const { certificates, revocationLists } = parseEndorsements(ders, context, checks);
  const namedEmulated = certificates.some((c) => c.subject.commonName === EMULATED_ROOT_NAME);
  const nothing = { report, chain: null, genuine: false, namedEmulated };
  if (report === null) return nothing;
  const { emulatedRoot } = policy;
  const { trustedRoots, requireRevocationList } = policy.snp;
  const chain = verifyChain(
    {
      report,
      certificates,
      endorsementKey,
      revocationLists,
      requireRevocationList,
      emulatedRoot,
      trustedRoots,
      at,
      crypto,
      cache,
    },
    checks,
  );
  if (chain === null) return nothing;
  checkPlatform(chain.product === 'emulated' ? 'emulated' : 'snp', context, checks);
  if (product !== undefined && product !== chain.product) {
    checks.record('report.product', false, product, `${chain.product} root`);
  }
  const tcb = verifyReport(report, chain, policy.snp, checks);
  if (tcb === null) return { ...nothing, chain };
  checkSnpPolicy(report, tcb, chain, policy, at, checks);
  return { report, chain, genuine: true, namedEmulated };
}
