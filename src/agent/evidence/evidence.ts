import { qualifyingData, reportData } from '../../attestation/evidence/claims.ts';
import { encodeEvidence, evidenceDigest } from '../../attestation/evidence/evidence.ts';
import { LaunchLog } from '../../attestation/evidence/launch-log.ts';
import { attestationCrypto } from '../../crypto/attestation-crypto.ts';
import type { PlatformPort } from '../ports.ts';

export interface CollectedEvidence {
  readonly evidence: Uint8Array;
  readonly digest: string;
}

/**
 * Bundles claims, a report over nonce and claims, the host's launch log and, in a virtual machine, the vTPM quote and
 * the DICE chain (design: evidence).
 */
export async function collectEvidence(
  platform: PlatformPort,
  manifestDigest: string | null,
  nonce: Uint8Array,
): Promise<CollectedEvidence> {
  await platform.openChain();
  // Chain and claims are read together, since the claims hold the digest of the chain's leaf.
  const claims = platform.claims(manifestDigest);
  const dice =
    platform.dice === null
      ? {}
      : {
          dice: {
            format: 'cbor' as const,
            rootKey: platform.dice.rootKey,
            chain: [...platform.dice.certificates],
          },
        };
  const [{ report, launchLog }, quote] = await Promise.all([
    platform.reportProvider.report(reportData(nonce, claims, attestationCrypto)),
    platform.vtpm?.quote(qualifyingData(nonce, claims, attestationCrypto)),
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
