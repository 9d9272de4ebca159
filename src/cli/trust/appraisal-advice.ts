import type { CheckName } from '../../attestation/appraisal/checks.ts';
import type { Verdict } from '../../attestation/appraisal/verdict.ts';

/** What a person can do about a check that rejects, where that is something else than not to trust the enclave. */
const ADVICE: Partial<Record<CheckName, string>> = {
  'chain.revocation-list':
    'save the lists, then name them (verify-snp --crl FILE) or store them: cocos-cli attestation collateral import FILE. A policy waives them with snp.requireRevocationList or tdx.requireRevocationLists: false',
  'policy.minimum-tcb':
    'ask the operator for a machine with newer firmware. A policy sets another minimum with snp.minimumTcb; docs/policy.md shows the shipped one',
  'launch.firmware-layout':
    'use the reference values of the boot path that the enclave was started with: reference-values-snp.json on SEV-SNP',
  'vtpm.key-binding':
    'ask for evidence with the certificate of the attestation key, or remove vtpm.trustedRoots from your policy',
};

/** Next steps after a rejection, each with the reason from its check; none for checks without one. */
export function adviceOf({ checks, failures, missing }: Verdict): string[] {
  return checks
    .filter(({ name }) => failures.includes(name) || missing.includes(name))
    .flatMap(({ name, outcome, found, note }) => {
      const advice = ADVICE[name];
      const reason = outcome === 'failed' ? found : (note ?? found);
      return advice === undefined ? [] : [`${name}: ${reason}. Next: ${advice}.`];
    });
}
