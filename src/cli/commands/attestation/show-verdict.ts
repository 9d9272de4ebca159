import type { CheckName } from '../../../attestation/appraisal/checks.ts';
import { formatVerdict, verdictToJson } from '../../../attestation/appraisal/format-verdict.ts';
import type { Verdict } from '../../../attestation/appraisal/verdict.ts';
import { type AppraisalPolicy, parsePolicy } from '../../../attestation/policy/policy.ts';
import { CocosError, EXIT } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { adviceOf } from '../../trust/appraisal-advice.ts';
import { readPolicy } from '../../trust/trust.ts';

/**
 * Shows a verdict and sets the exit code.
 *
 * @param form checks whose failure means that a file is not of the declared kind, so that no evidence was appraised
 */
export function showVerdict(context: CommandContext, verdict: Verdict, form: readonly CheckName[]): void {
  const next = adviceOf(verdict);
  context.output.result([...formatVerdict(verdict).split('\n'), ...next], {
    ...verdictToJson(verdict),
    next,
  });
  if (verdict.outcome === 'accepted') return;
  const unreadable = verdict.failures.some((name) => form.includes(name));
  context.exit(unreadable ? EXIT.io : EXIT.rejected);
}

/** The policy of a command on a single statement: in a file, or the strict one for a platform. */
export interface PolicyOptions {
  readonly policy?: string;
  readonly policyKey?: string;
}

export async function policyOf(
  { policy, policyKey }: PolicyOptions,
  platform: 'snp' | 'tdx',
  environment: NodeJS.ProcessEnv,
): Promise<AppraisalPolicy> {
  if (policy !== undefined) return readPolicy(policy, policyKey, environment);
  if (policyKey === undefined) return parsePolicy({ version: 1, platforms: [platform] });
  throw new CocosError('USAGE', '--policy-key needs --policy: name the file of the signed policy.');
}

/** A revocation list that the user names must be used: without this, one of another root would be ignored silently. */
export const requiringLists = (policy: AppraisalPolicy, lists: boolean): AppraisalPolicy =>
  lists ? { ...policy, snp: { ...policy.snp, requireRevocationList: true } } : policy;
