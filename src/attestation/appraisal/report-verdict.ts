import { CocosError } from '../../errors.ts';
import { evidenceDigest } from '../evidence/evidence.ts';
import type { AppraisalContext } from './context.ts';
import type { CheckList, Verdict, VerdictPlatform } from './verdict.ts';

/** Creates a verdict from the recorded checks. */
export function verdictOf(
  evidence: Uint8Array,
  platform: VerdictPlatform,
  emulated: boolean,
  context: Pick<AppraisalContext, 'at' | 'crypto'>,
  checks: CheckList,
): Verdict {
  const finished = checks.finish();
  return {
    outcome: finished.failures.length === 0 ? 'accepted' : 'rejected',
    platform,
    emulated,
    evidenceDigest: evidenceDigest(evidence, context.crypto),
    at: context.at,
    ...finished,
  };
}

/** @throws CocosError INPUT_INVALID when a time is not a finite number. */
export function checkTime(at: number): void {
  if (!Number.isFinite(at))
    throw new CocosError('INPUT_INVALID', 'the time of appraisal is not a finite number');
}
