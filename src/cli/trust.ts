import { randomBytes } from 'node:crypto';
import { createActor, waitFor } from 'xstate';
import { appraise } from '../attestation/appraise.ts';
import type { Collateral } from '../attestation/collateral.ts';
import { looksLikeCorim } from '../attestation/corim/comid.ts';
import { referenceFromCorim } from '../attestation/corim/reference-corim.ts';
import { evidenceDigest } from '../attestation/evidence.ts';
import { type AppraisalPolicy, parsePolicy } from '../attestation/policy.ts';
import { parseReferenceValues, type ReferenceValues } from '../attestation/reference.ts';
import { isPolicyEnvelope, openPolicy } from '../attestation/signed-policy.ts';
import { parseStrictJson } from '../attestation/strict-json.ts';
import type { Verdict } from '../attestation/verdict.ts';
import { attestationCrypto } from '../crypto/attestation-crypto.ts';
import { canonicalDigest } from '../crypto/digest.ts';
import { DEFAULT_SUITE } from '../crypto/hpke.ts';
import type { ParticipantKeys } from '../crypto/keys.ts';
import { openSession, type SessionRole } from '../crypto/session.ts';
import { asyncEffect, clockEffect, now } from '../effects.ts';
import { CocosError } from '../errors.ts';
import type { Manifest } from '../machines/manifest.ts';
import { type VerifierContext, verifierMachine } from '../machines/verifier.machine.ts';
import type { AgentClient, AgentSession } from './agent-client.ts';
import { collateralOf } from './collateral.ts';
import { readInput, readJson } from './files.ts';

/** What a party relies on when it judges an enclave. */
export interface TrustInputs {
  readonly policy: AppraisalPolicy;
  /** Digest of the policy's JSON in canonical form, as a manifest pins it. */
  readonly policyDigest: string;
  readonly reference: ReferenceValues;
  /** What vendors publish, from the named folder or the default one. */
  readonly collateral: Collateral;
}

/** Where a party keeps what it relies on, as options of the command line. */
export interface TrustOptions {
  readonly policy: string;
  readonly reference: string;
  /** `ed25519:…` of who must have signed the policy. */
  readonly policyKey?: string;
  readonly collateral?: string;
}

/**
 * Reads a policy, plain or signed.
 *
 * @param key `ed25519:…` of who must have signed it; when given, a plain policy is refused.
 * @throws CocosError POLICY_INVALID, FILE_NOT_FOUND, FILE_UNREADABLE
 */
export async function readPolicy(file: string, key?: string): Promise<AppraisalPolicy> {
  return parsePolicy(await readPolicyJson(file, key));
}

async function readPolicyJson(file: string, key: string | undefined): Promise<unknown> {
  const json = await readJson(file);
  if (!isPolicyEnvelope(json)) {
    if (key !== undefined) throw new CocosError('POLICY_INVALID', `The policy ${file} is not signed.`);
    return json;
  }
  const { policy } = openPolicy(json, key, attestationCrypto);
  try {
    return parseStrictJson(new TextDecoder('utf-8', { fatal: true }).decode(policy));
  } catch (cause) {
    throw new CocosError(
      'POLICY_INVALID',
      `The signed policy in ${file} is not JSON with each member once.`,
      { cause },
    );
  }
}

/** Reference values as JSON or as CoRIM. @throws CocosError REFERENCE_INVALID */
async function readReference(file: string): Promise<ReferenceValues> {
  const bytes = await readInput(file);
  return looksLikeCorim(bytes) ? referenceFromCorim(bytes) : parseReferenceValues(await readJson(file));
}

/** @throws CocosError POLICY_INVALID, REFERENCE_INVALID, FILE_NOT_FOUND, FILE_UNREADABLE */
export async function readTrust(options: TrustOptions, environment: NodeJS.ProcessEnv): Promise<TrustInputs> {
  const json = await readPolicyJson(options.policy, options.policyKey);
  return {
    policy: parsePolicy(json),
    policyDigest: canonicalDigest(json),
    reference: await readReference(options.reference),
    collateral: await collateralOf(options.collateral, environment),
  };
}

/** What the verifier compares when a manifest pins its policy. */
export function pinnedPolicy(manifest: Manifest | undefined, trust: TrustInputs) {
  if (manifest?.policyDigest === undefined) return undefined;
  return { expected: manifest.policyDigest, found: trust.policyDigest };
}

/** An enclave that was proven to run what the party relies on. */
export interface TrustedEnclave {
  readonly verdict: Verdict;
  readonly evidence: Uint8Array;
  readonly nonce: Uint8Array;
}

/**
 * Challenges an enclave and appraises its evidence; the verifier machine says where in this it is.
 *
 * @throws CocosError ATTEST_REJECTED with the verdict's failures, or why no evidence came.
 */
export async function verifyEnclave(
  agent: AgentClient,
  trust: TrustInputs,
  manifest: Manifest | undefined,
): Promise<TrustedEnclave> {
  const manifestDigest = manifest === undefined ? undefined : canonicalDigest(manifest);
  const nonce = randomBytes(32);
  const nonceIssuedAt = now();
  let evidence: Uint8Array = new Uint8Array(0);
  let verdict: Verdict | null = null;
  const verifier = createActor(
    verifierMachine.provide({
      actors: {
        challenge: asyncEffect<VerifierContext>(
          async () => {
            evidence = await agent.evidence(nonce);
            verifier.send({
              type: 'evidence.received',
              evidenceDigest: evidenceDigest(evidence, attestationCrypto),
            });
          },
          (error) => verifier.send({ type: 'evidence.missing', cause: error.toJSON() }),
        ),
        appraise: asyncEffect<VerifierContext>(
          async () => {
            const atMs = now();
            verdict = appraise({
              evidence,
              nonce,
              policy: trust.policy,
              reference: trust.reference,
              collateral: trust.collateral,
              nonceIssuedAt,
              policyDigest: pinnedPolicy(manifest, trust),
              at: atMs,
              ...(manifestDigest === undefined ? {} : { expectedManifestDigest: manifestDigest }),
              crypto: attestationCrypto,
            });
            const accepted = verdict.outcome === 'accepted';
            verifier.send({ type: 'verdict.reached', accepted, failures: [...verdict.failures], atMs });
          },
          (error) =>
            verifier.send({ type: 'verdict.reached', accepted: false, failures: [error.code], atMs: now() }),
        ),
        clock: clockEffect(),
      },
    }),
  );
  verifier.start();
  verifier.send({ type: 'verifier.challenge' });
  const settled = await waitFor(
    verifier,
    (snapshot) =>
      snapshot.matches('trusted') || snapshot.matches('rejected') || snapshot.matches('unanswered'),
  );
  verifier.stop();
  const { cause, failures } = settled.context;
  if (settled.matches('unanswered')) {
    throw new CocosError(cause?.code ?? 'EVIDENCE_UNAVAILABLE', cause?.message ?? 'No evidence came.');
  }
  if (!settled.matches('trusted') || verdict === null) {
    throw new CocosError('ATTEST_REJECTED', `The evidence was rejected: ${failures.join(', ')}.`, {
      details: { failures },
    });
  }
  return { verdict, evidence, nonce };
}

/** Verifies the enclave and opens a session sealed to the key that was just proven. */
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
  if (agentKem === undefined) throw new CocosError('ATTEST_REJECTED', 'The evidence proves no usable key.');
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
