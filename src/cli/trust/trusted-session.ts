import { canonicalDigest } from '../../crypto/digest.ts';
import { DEFAULT_SUITE } from '../../crypto/hpke.ts';
import type { ParticipantKeys } from '../../crypto/keys.ts';
import { CocosError } from '../../errors.ts';
import type { Manifest } from '../../machines/manifest.ts';
import { openSession, type SessionRole } from '../../protocol/session.ts';
import type { AgentClient, AgentSession } from '../transfer/agent-client.ts';
import type { TrustInputs } from './trust.ts';
import { type TrustedEnclave, verifyEnclave } from './verifier.ts';

/** Verifies the enclave and opens a session that is sealed to the attested key. */
export async function openTrustedSession(
  agent: AgentClient,
  trust: TrustInputs,
  manifest: Manifest,
  keys: ParticipantKeys,
  role: SessionRole,
): Promise<TrustedEnclave & { readonly session: AgentSession }> {
  const manifestDigest = canonicalDigest(manifest);
  const trusted = await verifyEnclave(agent, trust, manifest);
  const agentKem = trusted.verdict.claims?.kemKeys.find(({ kem }) => kem === DEFAULT_SUITE.kem);
  if (agentKem === undefined)
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
  return { ...trusted, session: await agent.open(opening, signature, channel) };
}
