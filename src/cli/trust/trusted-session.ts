import { canonicalDigest, sha256Text } from '../../crypto/digest.ts';
import { DEFAULT_SUITE } from '../../crypto/hpke.ts';
import { encodeSigningKey, type ParticipantKeys } from '../../crypto/keys.ts';
import { CocosError } from '../../errors.ts';
import type { Manifest } from '../../machines/manifest.ts';
import type { ResultAudit } from '../../protocol/result-audit.ts';
import { openSession, type SessionRole } from '../../protocol/session.ts';
import type { AgentClient, AgentSession } from '../transfer/agent-client.ts';
import type { TrustInputs } from './trust.ts';
import { type TrustedEnclave, verifyEnclave } from './verifier.ts';

/** A session with an enclave whose evidence was accepted. */
export interface TrustedSession extends TrustedEnclave {
  readonly session: AgentSession;
  /** The key that the evidence attests, `ed25519:…`. */
  readonly agentSigningKey: string;
  /** What the enclave was judged by. */
  readonly audit: ResultAudit;
}

/** Verifies the enclave and opens a session that is sealed to the attested key. */
export async function openTrustedSession(
  agent: AgentClient,
  trust: TrustInputs,
  manifest: Manifest,
  keys: ParticipantKeys,
  role: SessionRole,
): Promise<TrustedSession> {
  const manifestDigest = canonicalDigest(manifest);
  const trusted = await verifyEnclave(agent, trust, manifest);
  const { claims } = trusted.verdict;
  const agentKem = claims?.kemKeys.find(({ kem }) => kem === DEFAULT_SUITE.kem);
  if (claims === undefined || agentKem === undefined)
    throw new CocosError(
      'ATTEST_REJECTED',
      `The evidence of the enclave contains no ${DEFAULT_SUITE.kem} key to seal the session to.`,
    );
  const { opening, signature, channel } = openSession({
    agentKemPublicKey: agentKem.publicKey,
    suite: DEFAULT_SUITE,
    signingSecretKey: keys.signing.secretKey,
    role,
    manifestDigest,
    evidenceDigest: trusted.verdict.evidenceDigest,
    nonce: trusted.nonce,
  });
  return {
    ...trusted,
    session: await agent.open(opening, signature, channel),
    agentSigningKey: encodeSigningKey(claims.signingKey),
    audit: auditOf(trusted, trust),
  };
}

function auditOf(
  { evidence, nonce, nonceIssuedAt, verdict }: TrustedEnclave,
  trust: TrustInputs,
): ResultAudit {
  const { policyDigest, sources, collateral } = trust;
  return {
    evidence,
    nonce,
    nonceIssuedAt,
    appraisedAt: verdict.at,
    policy: { digest: policyDigest, content: sources.policy },
    reference: { digest: sha256Text(sources.reference), content: sources.reference },
    collateral,
  };
}
