import { qualifyingData, reportData } from '../../attestation/evidence/claims.ts';
import { encodeEvidence, evidenceDigest } from '../../attestation/evidence/evidence.ts';
import { LaunchLog } from '../../attestation/evidence/launch-log.ts';
import { attestationCrypto } from '../../crypto/attestation-crypto.ts';
import type { Agent } from '../agent.ts';

export interface CollectedEvidence {
  readonly evidence: Uint8Array;
  readonly digest: string;
}

/**
 * Claims, a report over nonce and claims, the host's launch log and, in a virtual machine, the vTPM's quote and the
 * chain of layers, in one bundle (design: evidence).
 */
export async function collectEvidence(
  agent: Agent,
  manifestDigest: string | null,
  nonce: Uint8Array,
): Promise<CollectedEvidence> {
  await agent.openChain();
  // The chain is taken with the claims, which hold the digest of its leaf.
  const claims = agent.claims(manifestDigest);
  const dice =
    agent.dice === null
      ? {}
      : {
          dice: {
            format: 'cbor' as const,
            rootKey: agent.dice.rootKey,
            chain: [...agent.dice.certificates],
          },
        };
  const [{ report, launchLog }, quote] = await Promise.all([
    agent.reportProvider.report(reportData(nonce, claims, attestationCrypto)),
    agent.vtpm?.quote(qualifyingData(nonce, claims, attestationCrypto)),
  ]);
  const log = LaunchLog.safeParse(launchLog);
  const evidence = encodeEvidence({
    version: 1,
    claims,
    nonce: Uint8Array.from(nonce),
    report,
    ...(log.success ? { launchLog: log.data } : {}),
    ...(quote === undefined ? {} : { vtpm: quote }),
    ...dice,
  });
  return { evidence, digest: evidenceDigest(evidence, attestationCrypto) };
}
