import { randomBytes } from 'node:crypto';
import { waitFor } from 'xstate';
import { CocosError } from '../../errors.ts';
import type { AttestationEvent, AttestationLimits } from '../../machines/attestation.machine.ts';
import { publicCause } from '../../machines/public-cause.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { ActorsPort, EvidencePort } from '../ports.ts';
import type { CollectedEvidence } from './evidence.ts';

/** Attestations that exist at once, in whatever state. */
const ATTESTATION_LIMIT = 256;
const OVER: ReadonlySet<string> = new Set(['closed', 'expired', 'failed']);

/** The attestations of this boot: one for each challenge, bounded in number. */
export class Attestations implements EvidencePort {
  private readonly actors: ActorsPort;
  private readonly limits: AttestationLimits;
  /** Addresses of all attestations, including those that still collect their evidence. */
  private readonly addresses = new Set<string>();
  /** Address of the attestation by the digest of its evidence. */
  private readonly byEvidence = new Map<string, string>();
  /** Evidence that its effect has produced and its caller has not picked up yet. */
  private readonly collected = new Map<string, CollectedEvidence>();

  constructor(actors: ActorsPort, limits: AttestationLimits) {
    this.actors = actors;
    this.limits = limits;
  }

  async collect(nonce: Uint8Array): Promise<Uint8Array> {
    this.makeRoom();
    const sessionId = randomBytes(16).toString('hex');
    const address = `attestation/${sessionId}`;
    this.actors.notify({
      type: 'attestation.requested',
      address,
      input: {
        ...{ sessionId, nonce: Buffer.from(nonce).toString('hex') },
        ...{ limits: this.limits, atMs: systemClock.monotonic() },
      },
    });
    this.addresses.add(address);
    try {
      const { evidence, digest } = await this.evidenceOf(address);
      this.byEvidence.set(digest, address);
      return evidence;
    } catch (thrown) {
      this.retire(address);
      throw thrown;
    }
  }

  /** Called by the effect of an attestation when its evidence is complete. */
  deliver(sessionId: string, evidence: CollectedEvidence): void {
    const address = `attestation/${sessionId}`;
    this.collected.set(address, evidence);
    this.send(address, {
      type: 'evidence.collected',
      evidenceDigest: evidence.digest,
      atMs: systemClock.monotonic(),
    });
  }

  fail(sessionId: string, error: CocosError): void {
    this.send(`attestation/${sessionId}`, { type: 'evidence.failed', cause: publicCause(error) });
  }

  addressOf(evidenceDigest: string): string | null {
    return this.byEvidence.get(evidenceDigest) ?? null;
  }

  find(address: string) {
    return this.actors.attestation(address)?.getSnapshot() ?? null;
  }

  send(address: string, event: AttestationEvent): void {
    this.actors.send(address, event);
  }

  private async evidenceOf(address: string): Promise<CollectedEvidence> {
    const actor = this.actors.attestation(address);
    if (actor === undefined) {
      throw new CocosError('EVIDENCE_UNAVAILABLE', 'The agent accepts no challenges in its present state.');
    }
    actor.send({ type: 'attestation.collect' });
    const settled = await waitFor(
      actor,
      (snapshot) => !snapshot.matches('challenged') && !snapshot.matches('collecting'),
    );
    const evidence = this.collected.get(address);
    this.collected.delete(address);
    if (evidence !== undefined && settled.matches('evidenced')) return evidence;
    const { cause } = settled.context;
    if (cause !== null) throw CocosError.fromJson(cause);
    throw new CocosError('EVIDENCE_UNAVAILABLE', 'The platform did not produce evidence in time; try again.');
  }

  /**
   * Retires attestations that are over, then the oldest one without a session. A flood of challenges shortens the
   * time that evidence stays valid, but locks no participant out.
   */
  private makeRoom(): void {
    if (this.addresses.size < ATTESTATION_LIMIT) return;
    const states = [...this.addresses].map((address) => ({ address, state: this.find(address)?.value }));
    for (const { address, state } of states) if (state === undefined || OVER.has(state)) this.retire(address);
    if (this.addresses.size < ATTESTATION_LIMIT) return;
    const oldest = states.find(({ state }) => state === 'evidenced');
    if (oldest === undefined) {
      throw new CocosError(
        'LIMIT_EXCEEDED',
        `The agent handles at most ${ATTESTATION_LIMIT} challenges at once; try again later.`,
      );
    }
    this.retire(oldest.address);
  }

  private retire(address: string): void {
    this.addresses.delete(address);
    this.collected.delete(address);
    for (const [digest, of] of this.byEvidence) if (of === address) this.byEvidence.delete(digest);
    this.actors.retire(address);
  }
}
