import { parseChecked } from '../appraisal/context.ts';
import type { CheckList } from '../appraisal/verdict.ts';
import type { AttestationKey } from './public-area.ts';

/**
 * Reads an attestation key and records `vtpm.key` and `vtpm.key-attributes`.
 *
 * @returns null when it cannot be read.
 */
export function checkAttestationKey(parser: () => AttestationKey, checks: CheckList): AttestationKey | null {
  const key = parseChecked(checks, 'vtpm.key', 'a signing key, RSA or ECC', parser);
  if (key === null) return null;
  const { problems } = key;
  if (problems === null) {
    checks.notChecked('vtpm.key-attributes', 'a public key without its TPM attributes');
  } else {
    const found = problems.length === 0 ? 'restricted, signing, fixed to its TPM' : problems.join('; ');
    checks.record('vtpm.key-attributes', problems.length === 0, 'a restricted signing key', found);
  }
  return key;
}
