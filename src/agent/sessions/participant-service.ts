import { randomBytes } from 'node:crypto';
import { encodeSigningKey } from '../../crypto/keys.ts';
import { CocosError } from '../../errors.ts';
import type { SealedMessage } from '../../protocol/channel.ts';
import type { SessionOpening } from '../../protocol/session.ts';
import {
  ASSOCIATED,
  decodeBody,
  encodeBody,
  type FollowItem,
  followLabel,
  SealedRequest,
} from '../../rpc/sealed.ts';
import { systemClock } from '../../runtime/clock.ts';

import { VERSION } from '../../version.ts';
import type { Agent } from '../agent.ts';
import type { ResultStore } from '../run/result-store.ts';
import { UploadReceiver } from '../transfers/upload-receiver.ts';
import { answerRequest } from './requests.ts';
import { acceptParticipant, type Session } from './sessions.ts';
import { Tickets } from './tickets.ts';

const NONCE_BYTES = 32;
/** Attestations kept at once, in whatever state. */
const ATTESTATION_LIMIT = 256;
const OVER: ReadonlySet<string> = new Set(['closed', 'expired', 'failed']);
/** Sessions of one participant; the one that was used longest ago gives way, as those of killed commands do. */
const PARTICIPANT_SESSIONS = 16;
/** Use is noted at most so often in the time that a session may be idle, since each note is an event. */
const USE_NOTES = 60;

/** Where participants are served: it knows sessions and tickets; the machines decide what is allowed. */
export class ParticipantService {
  private readonly agent: Agent;
  /** Addresses of all attestations, also of those whose evidence is still being collected. */
  private readonly attestations = new Set<string>();
  /** Address of the attestation by the digest of its evidence. */
  private readonly evidenceOf = new Map<string, string>();
  private readonly sessions = new Map<string, Session & { usedMs: number }>();
  readonly tickets = new Tickets();

  constructor(agent: Agent) {
    this.agent = agent;
  }

  /** Fresh evidence over a verifier's nonce. @throws CocosError INPUT_INVALID, LIMIT_EXCEEDED, EVIDENCE_UNAVAILABLE */
  async evidence(nonce: Uint8Array): Promise<Uint8Array> {
    if (nonce.length !== NONCE_BYTES)
      throw new CocosError('INPUT_INVALID', `A nonce has ${NONCE_BYTES} bytes.`);
    this.retireEnded();
    const sessionId = randomBytes(16).toString('hex');
    const address = `attestation/${sessionId}`;
    this.agent.request({
      type: 'attestation.requested',
      address,
      input: {
        ...{ sessionId, nonce: Buffer.from(nonce).toString('hex') },
        ...{ limits: this.agent.limits, atMs: systemClock.monotonic() },
      },
    });
    this.attestations.add(address);
    try {
      const { evidence, digest } = await this.agent.collect(address);
      this.evidenceOf.set(digest, address);
      return evidence;
    } catch (thrown) {
      this.retire(address);
      throw thrown;
    }
  }

  /** Opens a session on evidence that was given and not used yet; the answer proves the agent's key. */
  openSession(opening: SessionOpening, signature: Uint8Array): SealedMessage {
    const address = this.evidenceOf.get(opening.evidenceDigest);
    const attestation = address === undefined ? null : this.agent.attestation(address);
    if (address === undefined || attestation === null) {
      throw new CocosError(
        'SESSION_EVIDENCE',
        'The session refers to evidence that this agent did not give.',
      );
    }
    if (attestation.context.nonce !== Buffer.from(opening.nonce).toString('hex')) {
      throw new CocosError('SESSION_EVIDENCE', 'The nonce of the session is not the one of the evidence.');
    }
    const opened = {
      type: 'session.opened',
      participant: encodeSigningKey(opening.participant),
      role: opening.role,
      atMs: systemClock.monotonic(),
    } as const;
    if (!attestation.can(opened)) {
      throw attestation.matches('expired')
        ? new CocosError('SESSION_EVIDENCE', 'The evidence of the session has expired.')
        : new CocosError('SESSION_REPLAYED', 'A session was opened on this evidence already.');
    }
    const { manifest, manifestDigest } = this.agent.computation.context;
    const session = acceptParticipant(
      this.agent.identity,
      manifest,
      manifestDigest,
      address,
      opening,
      signature,
    );
    if (this.sessions.has(session.id))
      throw new CocosError('SESSION_REPLAYED', 'The session id was used before.');
    this.makeRoomFor(session.participant);
    this.agent.send(address, opened);
    this.sessions.set(session.id, { ...session, usedMs: systemClock.monotonic() });
    const hello = { version: VERSION, status: this.agent.status() };
    return session.channel.seal(encodeBody(hello), ASSOCIATED.hello);
  }

  /** Opens a sealed request and seals its answer, errors and all. @throws CocosError SESSION_* CRYPTO_OPEN_FAILED */
  async call(sessionId: string, sequence: number, ciphertext: Uint8Array): Promise<SealedMessage> {
    const session = this.use(sessionId);
    const body = session.channel.open(sequence, ciphertext, ASSOCIATED.call);
    const answer = await Promise.resolve()
      .then(() => answerRequest(this.agent, this, session, decodeBody(SealedRequest, body)))
      .then(
        (value) => ({ ok: true, value }),
        (thrown: unknown) => ({ ok: false, error: CocosError.from(thrown).toJSON() }),
      );
    const sealed = session.channel.seal(encodeBody(answer), ASSOCIATED.answer(sequence));
    // The call that ends a session is answered under its keys, and nothing after it.
    if (!this.sessions.has(sessionId)) session.channel.erase();
    return sealed;
  }

  /** @throws CocosError SESSION_NOT_FOUND for a ticket that no live session holds, TRANSFER_NOT_FOUND */
  attachUpload(ticket: Uint8Array): UploadReceiver {
    const { sessionId, grant } = this.tickets.redeem(ticket, 'upload');
    this.use(sessionId);
    return new UploadReceiver(this.agent, grant.transferId, grant.attempt);
  }

  /** @throws CocosError SESSION_NOT_FOUND for a ticket that no live session holds, RESULT_NOT_READY */
  download(ticket: Uint8Array): ResultStore {
    this.use(this.tickets.redeem(ticket, 'download').sessionId);
    return this.agent.results;
  }

  /** States from now on and, for consumers, the log lines so far and from now on. */
  async *follow(
    sessionId: string,
    sequence: number,
    ciphertext: Uint8Array,
    signal: AbortSignal,
  ): AsyncGenerator<SealedMessage> {
    const session = this.use(sessionId);
    session.channel.open(sequence, ciphertext, ASSOCIATED.follow);
    const channel = session.channel.subchannel(followLabel(sequence));
    try {
      for await (const item of this.agent.follow(session.role === 'consumer', signal)) {
        yield channel.seal(encodeBody(item satisfies FollowItem), ASSOCIATED.item);
      }
    } finally {
      channel.erase();
    }
  }

  /** Forgets a session that its participant has ended, with its tickets; the answer to that is the last it seals. */
  endSession(session: Session): void {
    this.agent.send(session.attestation, { type: 'session.closed' });
    this.sessions.delete(session.id);
    this.tickets.forget(session.id);
  }

  private makeRoomFor(participant: string): void {
    const own = [...this.sessions.values()].filter((each) => each.participant === participant);
    const [oldest] = own.sort((one, other) => one.usedMs - other.usedMs);
    if (oldest === undefined || own.length < PARTICIPANT_SESSIONS) return;
    this.endSession(oldest);
    oldest.channel.erase();
  }

  /** Forgets a session with its keys and tickets. */
  private forget(sessionId: string): void {
    this.sessions.get(sessionId)?.channel.erase();
    this.sessions.delete(sessionId);
    this.tickets.forget(sessionId);
  }

  private use(sessionId: string): Session {
    const session = this.sessions.get(sessionId);
    const attestation = session === undefined ? null : this.agent.attestation(session.attestation);
    if (session === undefined || attestation?.matches('inSession') !== true) {
      this.forget(sessionId);
      throw new CocosError('SESSION_NOT_FOUND', 'The session is unknown or has ended.');
    }
    const atMs = systemClock.monotonic();
    if (atMs - session.usedMs > this.agent.limits.idleMs / USE_NOTES) {
      session.usedMs = atMs;
      this.agent.send(session.attestation, { type: 'session.used', atMs });
    }
    return session;
  }

  /**
   * Makes room by forgetting attestations that are over and then the oldest one that no session stands on: who floods
   * an agent with challenges hurries everybody, and keeps nobody out.
   */
  private retireEnded(): void {
    for (const [id, { attestation }] of this.sessions)
      if (this.agent.attestation(attestation)?.matches('inSession') !== true) this.forget(id);
    if (this.attestations.size < ATTESTATION_LIMIT) return;
    const states = [...this.attestations].map((address) => ({
      address,
      state: this.agent.attestation(address)?.value,
    }));
    for (const { address, state } of states) if (state === undefined || OVER.has(state)) this.retire(address);
    if (this.attestations.size < ATTESTATION_LIMIT) return;
    const oldest = states.find(({ state }) => state === 'evidenced');
    if (oldest === undefined) {
      throw new CocosError(
        'LIMIT_EXCEEDED',
        `The agent keeps at most ${ATTESTATION_LIMIT} attestations at once.`,
      );
    }
    this.retire(oldest.address);
  }

  private retire(address: string): void {
    this.attestations.delete(address);
    for (const [digest, of] of this.evidenceOf) if (of === address) this.evidenceOf.delete(digest);
    for (const [id, session] of this.sessions) if (session.attestation === address) this.forget(id);
    this.agent.retire(address);
  }
}
