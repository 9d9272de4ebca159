import { randomBytes } from 'node:crypto';
import { type Actor, createActor, waitFor } from 'xstate';
import { appraise } from '../../attestation/appraisal/appraise.ts';
import { CHECKS, isCheckName } from '../../attestation/appraisal/checks.ts';
import type { Verdict } from '../../attestation/appraisal/verdict.ts';
import { evidenceDigest } from '../../attestation/evidence/evidence.ts';
import { attestationCrypto } from '../../crypto/attestation-crypto.ts';
import { canonicalDigest } from '../../crypto/digest.ts';
import { CocosError } from '../../errors.ts';
import type { Manifest } from '../../machines/manifest.ts';
import {
  VERDICT_LIFETIME_MS,
  type VerifierContext,
  verifierMachine,
} from '../../machines/verifier.machine.ts';
import { type Clock, systemClock } from '../../runtime/clock.ts';
import { asyncEffect, clockEffect } from '../../runtime/effects.ts';
import type { AgentClient } from '../transfer/agent-client.ts';
import { adviceOf } from './appraisal-advice.ts';
import { pinnedPolicy, type TrustInputs } from './trust.ts';

/** An enclave whose evidence was accepted. */
export interface TrustedEnclave {
  readonly verdict: Verdict;
  readonly evidence: Uint8Array;
  readonly nonce: Uint8Array;
  /** By the clock of the verdict, milliseconds since 1970. */
  readonly nonceIssuedAt: number;
}

/** Answers a challenge with evidence. */
type EvidenceSource = Pick<AgentClient, 'evidence'>;

export interface VerifierOptions {
  /** How long a verdict is valid. */
  readonly lifetimeMs?: number;
  readonly clock?: Clock;
}

/** Repeated appraisal of one enclave by one party. The machine holds the state of it. */
export class EnclaveVerifier {
  private readonly agent: EvidenceSource;
  private readonly trust: TrustInputs;
  private readonly manifest: Manifest | undefined;
  private readonly clock: Clock;
  private readonly actor: Actor<typeof verifierMachine>;
  private nonce: Uint8Array = new Uint8Array(0);
  /** Of the monotonic clock. */
  private nonceIssuedAt = 0;
  /** By the wall clock of the last appraisal. */
  private nonceIssuedWall = 0;
  private evidence: Uint8Array = new Uint8Array(0);
  private verdict: Verdict | null = null;

  constructor(
    agent: EvidenceSource,
    trust: TrustInputs,
    manifest: Manifest | undefined,
    { lifetimeMs = VERDICT_LIFETIME_MS, clock = systemClock }: VerifierOptions = {},
  ) {
    this.agent = agent;
    this.trust = trust;
    this.manifest = manifest;
    this.clock = clock;
    this.actor = createActor(this.provide(), {
      id: 'verifier',
      input: { lifetimeMs },
      ...(trust.trace === undefined ? {} : { inspect: trust.trace }),
    }).start();
  }

  /**
   * Challenges the enclave with a new nonce and appraises its evidence. An enclave that was rejected stays rejected.
   *
   * @throws CocosError ATTEST_REJECTED with the failed checks; POLICY_INVALID after the policy has expired; STATE_EVENT_ILLEGAL during another call; or why there is
   * no evidence.
   */
  async verify(): Promise<TrustedEnclave> {
    const challenge = { type: 'verifier.challenge' } as const;
    const before = this.actor.getSnapshot();
    if (before.matches('rejected')) throw rejection(before.context, this.verdict);
    if (!before.can(challenge)) {
      throw new CocosError('STATE_EVENT_ILLEGAL', 'Another challenge of this enclave has not finished yet.');
    }
    refuseExpired(this.trust, this.clock);
    this.nonce = randomBytes(32);
    this.nonceIssuedAt = this.clock.monotonic();
    this.verdict = null;
    this.actor.send(challenge);
    const settled = await waitFor(
      this.actor,
      (snapshot) =>
        snapshot.matches('trusted') || snapshot.matches('rejected') || snapshot.matches('unanswered'),
    );
    const { cause } = settled.context;
    if (settled.matches('unanswered')) {
      throw new CocosError(
        cause?.code ?? 'EVIDENCE_UNAVAILABLE',
        cause?.message ?? 'The enclave did not send evidence.',
      );
    }
    const { verdict, evidence, nonce, nonceIssuedWall } = this;
    if (!settled.matches('trusted') || verdict === null) throw rejection(settled.context, verdict);
    return { verdict, evidence, nonce, nonceIssuedAt: nonceIssuedWall };
  }

  /** Resolves when the verdict has become stale. */
  async stale(): Promise<void> {
    await waitFor(this.actor, (snapshot) => !snapshot.matches('trusted'));
  }

  close(): void {
    this.actor.stop();
  }

  private provide() {
    return verifierMachine.provide({
      actors: {
        challenge: asyncEffect<VerifierContext>(
          async () => {
            this.evidence = await this.agent.evidence(this.nonce);
            const digest = evidenceDigest(this.evidence, attestationCrypto);
            this.actor.send({ type: 'evidence.received', evidenceDigest: digest });
          },
          (error) => this.actor.send({ type: 'evidence.missing', cause: error.toJSON() }),
        ),
        appraise: asyncEffect<VerifierContext>(
          async () => {
            const verdict = this.appraise();
            this.verdict = verdict;
            const accepted = verdict.outcome === 'accepted';
            const atMs = this.clock.monotonic();
            this.actor.send({ type: 'verdict.reached', accepted, failures: [...verdict.failures], atMs });
          },
          ({ code }) =>
            this.actor.send({
              type: 'verdict.reached',
              accepted: false,
              failures: [code],
              atMs: this.clock.monotonic(),
            }),
        ),
        clock: clockEffect(),
      },
    });
  }

  private appraise(): Verdict {
    const { trust, manifest, evidence, nonce, clock } = this;
    // Certificates are valid by the wall clock. The age of the nonce is measured by the monotonic clock, since the wall
    // clock may be set in between.
    const at = clock.wall();
    this.nonceIssuedWall = at - (clock.monotonic() - this.nonceIssuedAt);
    return appraise({
      evidence,
      nonce,
      nonceIssuedAt: this.nonceIssuedWall,
      at,
      policy: trust.policy,
      reference: trust.reference,
      collateral: trust.collateral,
      policyDigest: pinnedPolicy(manifest, trust),
      ...(manifest === undefined ? {} : { expectedManifestDigest: canonicalDigest(manifest) }),
      crypto: attestationCrypto,
    });
  }
}

function rejection({ failures }: VerifierContext, verdict: Verdict | null): CocosError {
  const advice = verdict === null ? [] : adviceOf(verdict);
  const reasons = failures.map((name) =>
    isCheckName(name) ? `${name} (${CHECKS[name].doc.replace(/\.$/, '')})` : name,
  );
  return new CocosError(
    'ATTEST_REJECTED',
    `The evidence of the enclave was rejected, and no input was sent to it. This does not hold: ${reasons.join('; ')}. The commands 'attestation get' and 'attestation verify' show every check.${advice.map((each) => ` ${each}`).join('')}`,
    { details: { failures } },
  );
}

/** One challenge and its verdict. @throws CocosError as {@link EnclaveVerifier.verify} */
export async function verifyEnclave(
  agent: AgentClient,
  trust: TrustInputs,
  manifest: Manifest | undefined,
): Promise<TrustedEnclave> {
  const verifier = new EnclaveVerifier(agent, trust, manifest);
  try {
    return await verifier.verify();
  } finally {
    verifier.close();
  }
}

/** A policy that was current when it was read may have expired since. @throws CocosError POLICY_INVALID */
function refuseExpired({ policyExpires }: TrustInputs, clock: Clock): void {
  if (policyExpires === null || clock.wall() < policyExpires) return;
  const when = new Date(policyExpires).toISOString();
  throw new CocosError(
    'POLICY_INVALID',
    `Your policy expired at ${when}; get the current one from its signer.`,
  );
}
