import { CocosError } from '../../errors.ts';
import { NO_COLLATERAL } from '../collateral/collateral.ts';
import { decodeClaims, NONCE_BYTES } from '../evidence/claims.ts';
import { decodeEvidence, type EvidenceBundle } from '../evidence/evidence.ts';
import type { ReferenceBuild } from '../policy/reference.ts';
import { appraiseSnp } from '../snp/appraise.ts';
import { appraiseTdx } from '../tdx/appraise.ts';
import { checkTdxReference } from '../tdx/reference-check.ts';
import { CertificateCache } from '../x509/certificate-cache.ts';
import type { AppraisalInput, BuildInput, PlatformReport } from './appraisal.ts';
import { checkBinding } from './appraise-binding.ts';
import { appraiseLaunch } from './appraise-launch.ts';
import { appraiseParts } from './appraise-parts.ts';
import { bundleScope } from './checks.ts';
import { type AppraisalContext, parseChecked } from './context.ts';
import { checkTime, verdictOf } from './report-verdict.ts';
import { CheckList, type Verdict } from './verdict.ts';

function appraiseReport(
  bundle: EvidenceBundle,
  reference: ReferenceBuild,
  context: AppraisalContext,
  checks: CheckList,
): PlatformReport {
  const { report, launchLog } = bundle;
  if (report.kind === 'tdx') {
    const { quote, verified } = appraiseTdx(report.quote, [], report.eventLog, context, checks);
    if (quote !== null && verified !== null) checkTdxReference(quote.body, reference, checks);
    const body = quote?.body;
    const platform = verified === null ? 'unknown' : 'tdx';
    return {
      platform,
      namedEmulated: false,
      reportData: body?.reportData ?? null,
      hostData: body?.mrConfigId ?? null,
    };
  }
  const appraisal = appraiseSnp(report.report, report.certificates, context, checks);
  const { chain, genuine, namedEmulated } = appraisal;
  const emulated = chain?.product === 'emulated';
  if (genuine && appraisal.report !== null) {
    appraiseLaunch(launchLog, appraisal.report.measurement, reference, emulated, context.crypto, checks);
  }
  return {
    platform: chain === null ? 'unknown' : emulated ? 'emulated' : 'snp',
    namedEmulated,
    reportData: appraisal.report?.reportData ?? null,
    hostData: appraisal.report?.hostData ?? null,
  };
}

function checkInput(input: AppraisalInput): number {
  const at = typeof input.at === 'number' ? input.at : input.at.getTime();
  checkTime(at);
  const { nonce, policyDigest } = input;
  if (nonce !== undefined && nonce.length !== NONCE_BYTES) {
    throw new CocosError('INPUT_INVALID', `the nonce has ${nonce.length} bytes, expected ${NONCE_BYTES}`);
  }
  for (const digest of [input.expectedManifestDigest, policyDigest?.expected, policyDigest?.found]) {
    if (digest !== undefined && !/^sha256:[0-9a-f]{64}$/.test(digest)) {
      throw new CocosError('INPUT_INVALID', 'an expected digest is not a SHA-256 digest');
    }
  }
  return at;
}

const UNPARSED_SCOPE = bundleScope({ report: 'snp', tpm: false, dice: false });

/**
 * Appraises evidence. This is a pure function without network, clock or state. For any evidence it returns a verdict with
 * one entry for every check of this kind of evidence. The outcome is `accepted` only if no check failed and every required
 * check passed, all with the values of one build; a rejection is that of the build with the fewest failures.
 *
 * @throws CocosError INPUT_INVALID for invalid arguments of the caller (nonce length, digest format), never for the
 * evidence
 */
export function appraise(input: AppraisalInput): Verdict {
  const at = checkInput(input);
  const { policy, crypto } = input;
  const cache = input.cache ?? new CertificateCache();
  const context = { policy, collateral: { ...NO_COLLATERAL, ...input.collateral }, at, crypto, cache };
  const [first, ...others] = input.reference.builds;
  const against = (reference: ReferenceBuild): Verdict => {
    const verdict = appraiseBuild({ ...input, reference }, context);
    return { ...verdict, build: { name: reference.name, of: 1 + others.length } };
  };
  let closest = against(first);
  for (const build of others) {
    if (closest.outcome === 'accepted') break;
    const verdict = against(build);
    if (verdict.failures.length < closest.failures.length) closest = verdict;
  }
  return closest;
}

/** The verdict if the given build is the only one that is trusted. */
function appraiseBuild(input: BuildInput, context: AppraisalContext): Verdict {
  const { reference } = input;
  const checks = new CheckList(UNPARSED_SCOPE);
  const expected = 'a bundle of version 1';
  const bundle = parseChecked(checks, 'evidence.parse', expected, () => decodeEvidence(input.evidence));
  if (bundle === null) return verdictOf(input.evidence, 'unknown', false, context, checks);
  const { vtpm, dice } = bundle;
  checks.setScope(
    bundleScope({ report: bundle.report.kind, tpm: vtpm !== undefined, dice: dice !== undefined }),
  );
  const claims = parseChecked(checks, 'claims.parse', 'claims of version 1', () =>
    decodeClaims(bundle.claims),
  );
  const report = appraiseReport(bundle, reference, context, checks);
  checkBinding(input, bundle, claims, report, context.at, checks);
  const owner = appraiseParts(input, bundle, claims, context, checks);
  const emulated = report.platform === 'emulated' || report.namedEmulated || claims?.platform === 'emulated';
  const verdict = verdictOf(input.evidence, report.platform, emulated, context, checks);
  const launch = bundle.report.kind === 'snp' ? bundle.launchLog?.kind : undefined;
  return {
    ...verdict,
    ...(launch === undefined ? {} : { launch }),
    ...(owner === undefined ? {} : { vtpmOwner: owner }),
    ...(claims === null ? {} : { claims }),
  };
}
