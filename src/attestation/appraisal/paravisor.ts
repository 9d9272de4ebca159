import type { Collateral } from '../collateral/collateral.ts';
import type { AppraisalPolicy } from '../policy/policy.ts';
import { appraiseSnp } from '../snp/appraise.ts';
import { appraiseQuote } from '../tpm/appraise.ts';
import { checkEndorsement } from '../tpm/endorsement-check.ts';
import { bindsClaims, type HclReport, parseHclReport } from '../tpm/hcl.ts';
import { checkAttestationKey } from '../tpm/key-check.ts';
import { CertificateCache } from '../x509/certificate-cache.ts';
import { SCOPES } from './checks.ts';
import { type AppraisalContext, parseChecked } from './context.ts';
import { checkTime, verdictOf } from './report-verdict.ts';
import type { TpmInput } from './standalone.ts';
import { CheckList, type Verdict, type VtpmOwner } from './verdict.ts';

/** A quote of a vTPM inside the TEE: its key is bound by the hardware report of the paravisor that runs the vTPM. */

export interface ParavisorTpmInput extends Omit<TpmInput, 'key'> {
  /** The paravisor's report (Azure HCL), with an SNP report. */
  readonly hclReport: Uint8Array;
  /** Endorsement certificate and its authorities, DER, in any order. */
  readonly certificates: readonly Uint8Array[];
  /** The endorsement certificate that must have signed, DER; without it, any of the certificates may have. */
  readonly endorsementKey?: Uint8Array | undefined;
  readonly collateral: Collateral;
}

interface ReportFinding {
  readonly isEmulated: boolean;
  /** Whether the report is genuine and binds the key. */
  readonly isBound: boolean;
}

/** Records the checks of the SNP report and `vtpm.key-binding`. */
function checkReport(
  { report, claims }: HclReport,
  input: ParavisorTpmInput,
  context: AppraisalContext,
  checks: CheckList,
): ReportFinding {
  const { certificates, endorsementKey } = input;
  const own = endorsementKey === undefined ? [] : [endorsementKey];
  const snp = appraiseSnp(report, [...own, ...certificates], context, checks, { endorsementKey });
  const isEmulated = snp.chain?.product === 'emulated' || snp.namedEmulated;
  return { isEmulated, isBound: checkBinding(snp, claims, context, checks) };
}

function checkBinding(
  snp: ReturnType<typeof appraiseSnp>,
  claims: Uint8Array,
  context: AppraisalContext,
  checks: CheckList,
): boolean {
  if (snp.report === null || !snp.genuine) {
    checks.record(
      'vtpm.key-binding',
      false,
      'a genuine report of the paravisor',
      'the report is not genuine',
    );
    return false;
  }
  const bound = bindsClaims(snp.report.reportData, claims, context.crypto);
  const expected = 'runtime claims that REPORT_DATA binds';
  return checks.record(
    'vtpm.key-binding',
    bound,
    expected,
    bound ? 'bound, and they name the key' : 'other claims',
  );
}

/**
 * Appraises a TPM quote with the report of the paravisor that names its key. Never throws for the content of the evidence.
 *
 * @throws CocosError INPUT_INVALID
 */
export function verifyParavisorTpm(input: ParavisorTpmInput): Verdict {
  checkTime(input.at);
  const { policy, collateral, at, crypto, cache = new CertificateCache() } = input;
  const checks = new CheckList(SCOPES.paravisor);
  const hcl = parseChecked(checks, 'report.parse', 'the report of a paravisor', () =>
    parseHclReport(input.hclReport),
  );
  if (hcl === null) return verdictOf(input.attest, 'unknown', false, input, checks);
  const context = { policy, collateral, at, crypto, cache };
  const { isEmulated, isBound } = checkReport(hcl, input, context, checks);
  const { attestationKey } = hcl;
  const key = checkAttestationKey(() => ({ key: attestationKey, declared: null, problems: null }), checks);
  // Where the policy names roots, the report alone is not enough.
  if (key !== null && isBound && policy.vtpm.trustedRoots.length > 0)
    checkEndorsement(key, input.keyCertificates ?? [], context, checks);
  const { attest, signature, qualifyingData, pcrs, eventLog, reference } = input;
  appraiseQuote(
    { attest, signature, key, qualifyingData, pcrs, eventLog, policy: policy.vtpm, reference, crypto },
    checks,
  );
  const platform = !isBound ? 'unknown' : isEmulated ? 'emulated' : 'snp';
  const verdict = verdictOf(input.attest, platform, isEmulated, input, checks);
  return { ...verdict, vtpmOwner: ownerOf(isBound, isEmulated, policy) };
}

/** Any guest can write claims and have them reported: only its launch measurement says that it is a paravisor. */
function ownerOf(isBound: boolean, isEmulated: boolean, policy: AppraisalPolicy): VtpmOwner {
  if (!isBound || isEmulated) return 'host';
  return policy.snp.measurements === undefined ? 'guest' : 'paravisor';
}
