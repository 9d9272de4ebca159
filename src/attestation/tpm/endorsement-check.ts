import { CocosError } from '../../errors.ts';
import type { AppraisalContext } from '../appraisal/context.ts';
import type { CheckList } from '../appraisal/verdict.ts';
import { endorsementProblem } from './ak-certificate.ts';
import type { AttestationKey } from './public-area.ts';

/**
 * Records `vtpm.key-binding` for a policy that names roots: a certificate under one of them endorses the key.
 *
 * @param certificates of the key and of its authorities, DER
 */
export function checkEndorsement(
  key: AttestationKey,
  certificates: readonly Uint8Array[],
  context: AppraisalContext,
  checks: CheckList,
): boolean {
  const expected = `a certificate of the key under ${context.policy.vtpm.trustedRoots.join(' or ')}`;
  if (certificates.length === 0)
    return checks.record('vtpm.key-binding', false, expected, 'no certificate of the key');
  try {
    const problem = endorsementProblem(key, certificates, context);
    return checks.record('vtpm.key-binding', problem === null, expected, problem ?? 'endorsed');
  } catch (thrown) {
    return checks.record('vtpm.key-binding', false, expected, CocosError.from(thrown).message);
  }
}
