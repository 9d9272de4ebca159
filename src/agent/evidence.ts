import { encodeClaims, reportData } from '../attestation/claims.ts';
import { encodeEvidence, evidenceDigest } from '../attestation/evidence.ts';
import { LaunchLog } from '../attestation/launch-log.ts';
import { attestationCrypto } from '../crypto/attestation-crypto.ts';
import { type AgentIdentity, claimsOf } from './identity.ts';
import type { ReportProvider } from './report-provider.ts';

export interface CollectedEvidence {
  readonly evidence: Uint8Array;
  readonly digest: string;
}

/** Claims, a report over nonce and claims, and the host's launch log, in one bundle (design: evidence). */
export async function collectEvidence(
  identity: AgentIdentity,
  provider: ReportProvider,
  manifestDigest: string | null,
  nonce: Uint8Array,
): Promise<CollectedEvidence> {
  const claims = encodeClaims(claimsOf(identity, provider.platform, manifestDigest));
  const { report, certificates, launchLog } = await provider.report(
    reportData(nonce, claims, attestationCrypto),
  );
  const log = LaunchLog.safeParse(launchLog);
  const evidence = encodeEvidence({
    version: 1,
    claims,
    report: { kind: 'snp', report, certificates: [...certificates] },
    ...(log.success ? { launchLog: log.data } : {}),
  });
  return { evidence, digest: evidenceDigest(evidence, attestationCrypto) };
}
