import { randomBytes } from 'node:crypto';
import { type Actor, createActor, waitFor } from 'xstate';
import { appraise } from '../../attestation/appraisal/appraise.ts';
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
import { systemClock } from '../../runtime/clock.ts';
import { asyncEffect, clockEffect } from '../../runtime/effects.ts';
import type { AgentClient } from '../transfer/agent-client.ts';
import { pinnedPolicy, type TrustInputs } from './trust.ts';

/** An enclave that was proven to run what the party relies on. */
export interface TrustedEnclave {
  readonly verdict: Verdict;
  readonly evidence: Uint8Array;
  readonly nonce: Uint8Array;
}

/** A party's judgement of one enclave, as long as the party wants it; the machine says where in this it is. */
export class EnclaveVerifier {
  private readonly agent: AgentClient;
  private readonly trust: TrustInputs;
  private readonly manifest: Manifest | undefined;
  private readonly actor: Actor<typeof verifierMachine>;
  private nonce: Uint8Array = new Uint8Array(0);
  private nonceIssuedAt = 0;
  private evidence: Uint8Array = new Uint8Array(0);
  private verdict: Verdict | null = null;

  /** @param lifetimeMs how long a verdict is relied on */
  constructor(
    agent: AgentClient,
    trust: TrustInputs,
    manifest: Manifest | undefined,
    lifetimeMs: number = VERDICT_LIFETIME_MS,
  ) {
    this.agent = agent;
    this.trust = trust;
    this.manifest = manifest;
    this.actor = createActor(this.provide(), {
      id: 'verifier',
      input: { lifetimeMs },
      ...(trust.trace === undefined ? {} : { inspect: trust.trace }),
    }).start();
  }

  /**
   * Challenges the enclave with a new nonce and appraises its evidence.
   *
   * @throws CocosError ATTEST_REJECTED with the verdict's failures, or why no evidence came.
   */
  async verify(): Promise<TrustedEnclave> {
    this.nonce = randomBytes(32);
    this.nonceIssuedAt = systemClock.monotonic();
    this.verdict = null;
    this.actor.send({ type: 'verifier.challenge' });
    const settled = await waitFor(
      this.actor,
      (snapshot) =>
        snapshot.matches('trusted') || snapshot.matches('rejected') || snapshot.matches('unanswered'),
    );
    const { cause, failures } = settled.context;
    if (settled.matches('unanswered')) {
      throw new CocosError(cause?.code ?? 'EVIDENCE_UNAVAILABLE', cause?.message ?? 'No evidence came.');
    }
    const { verdict, evidence, nonce } = this;
    if (!settled.matches('trusted') || verdict === null) {
      throw new CocosError('ATTEST_REJECTED', `The evidence was rejected: ${failures.join(', ')}.`, {
        details: { failures },
      });
    }
    return { verdict, evidence, nonce };
  }

  /** Resolves when the verdict may not be relied on any longer. */
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
            const atMs = systemClock.monotonic();
            const verdict = this.appraise(atMs);
            this.verdict = verdict;
            const accepted = verdict.outcome === 'accepted';
            this.actor.send({ type: 'verdict.reached', accepted, failures: [...verdict.failures], atMs });
          },
          ({ code }) =>
            this.actor.send({
              type: 'verdict.reached',
              accepted: false,
              failures: [code],
              atMs: systemClock.monotonic(),
            }),
        ),
        clock: clockEffect(),
      },
    });
  }

  private appraise(at: number): Verdict {
    const { trust, manifest, evidence, nonce, nonceIssuedAt } = this;
    return appraise({
      evidence,
      nonce,
      nonceIssuedAt,
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
