import { encodeSigningKey } from '../../crypto/keys.ts';
import { CocosError } from '../../errors.ts';
import type { AttestationLimits } from '../../machines/attestation.machine.ts';
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
import type { AgentIdentity } from '../evidence/identity.ts';
import type {
  ComputationPort,
  EvidencePort,
  FollowPort,
  ResultPort,
  TransferPort,
  UploadStream,
} from '../ports.ts';
import { Tickets } from '../transfers/tickets.ts';
import { answerRequest } from './requests.ts';
import { acceptParticipant, type Session } from './sessions.ts';

const NONCE_BYTES = 32;
/** Sessions of one participant. A further one replaces the least recently used, which a killed command may have left. */
const PARTICIPANT_SESSIONS = 16;
/** Upper bound of `session.used` events within one idle period; each is journaled. */
const USE_EVENTS = 60;

/** The parts of the agent that participants use. */
export interface ServiceParts {
  readonly identity: AgentIdentity;
  readonly limits: Pick<AttestationLimits, 'idleMs'>;
  readonly evidence: EvidencePort;
  readonly computation: ComputationPort & FollowPort;
  readonly transfers: TransferPort;
  readonly results: ResultPort;
}

/** Serves participants: it holds their sessions and keys; the machines decide what is allowed. */
export class ParticipantService {
  private readonly parts: ServiceParts;
  private readonly sessions = new Map<string, Session & { usedMs: number }>();
  private readonly downloads = new Tickets<null>();

  constructor(parts: ServiceParts) {
    this.parts = parts;
  }

  /** Fresh evidence over a verifier's nonce. @throws CocosError INPUT_INVALID, LIMIT_EXCEEDED, EVIDENCE_UNAVAILABLE */
  async evidence(nonce: Uint8Array): Promise<Uint8Array> {
    if (nonce.length !== NONCE_BYTES) {
      throw new CocosError(
        'INPUT_INVALID',
        `A nonce has ${NONCE_BYTES} bytes; this one has ${nonce.length}.`,
      );
    }
    for (const session of this.sessions.values()) if (!this.isOpen(session)) this.forget(session.id);
    return this.parts.evidence.collect(nonce);
  }

  /** Opens a session on evidence that no session has used yet. The answer proves possession of the agent's key. */
  openSession(opening: SessionOpening, signature: Uint8Array): SealedMessage {
    const { evidence, computation, identity } = this.parts;
    const address = evidence.addressOf(opening.evidenceDigest);
    const attestation = address === null ? null : evidence.find(address);
    if (address === null || attestation === null) {
      throw new CocosError(
        'SESSION_EVIDENCE',
        'The session refers to evidence that this agent did not produce or has dropped; request fresh evidence.',
      );
    }
    if (attestation.context.nonce !== Buffer.from(opening.nonce).toString('hex')) {
      throw new CocosError(
        'SESSION_EVIDENCE',
        'The nonce of the session differs from the one of its evidence.',
      );
    }
    const opened = {
      type: 'session.opened',
      participant: encodeSigningKey(opening.participant),
      role: opening.role,
      atMs: systemClock.monotonic(),
    } as const;
    if (!attestation.can(opened)) {
      throw attestation.matches('expired')
        ? new CocosError(
            'SESSION_EVIDENCE',
            'The evidence of the session has expired; request fresh evidence.',
          )
        : new CocosError('SESSION_REPLAYED', 'A session was opened on this evidence before.');
    }
    const { manifest, manifestDigest } = computation.context;
    const session = acceptParticipant(identity, manifest, manifestDigest, address, opening, signature);
    if (this.sessions.has(session.id))
      throw new CocosError('SESSION_REPLAYED', `The session id '${session.id}' was used before.`);
    this.makeRoomFor(session.participant);
    evidence.send(address, opened);
    this.sessions.set(session.id, { ...session, usedMs: systemClock.monotonic() });
    const hello = { version: VERSION, status: computation.status() };
    return session.channel.seal(encodeBody(hello), ASSOCIATED.hello);
  }

  /** Opens a sealed request and seals its answer, errors included. @throws CocosError SESSION_* CRYPTO_OPEN_FAILED */
  async call(sessionId: string, sequence: number, ciphertext: Uint8Array): Promise<SealedMessage> {
    const session = this.use(sessionId);
    const body = session.channel.open(sequence, ciphertext, ASSOCIATED.call);
    const answer = await this.answer(session, body).then(
      (value) => ({ ok: true, value }),
      (thrown: unknown) => ({ ok: false, error: CocosError.from(thrown).toJSON() }),
    );
    const sealed = session.channel.seal(encodeBody(answer), ASSOCIATED.answer(sequence));
    // The answer to the request that ended the session is the last message under its keys.
    if (!this.sessions.has(sessionId)) session.channel.erase();
    return sealed;
  }

  /** @throws CocosError SESSION_NOT_FOUND for a ticket that no live session holds, TRANSFER_NOT_FOUND */
  attachUpload(ticket: Uint8Array): UploadStream {
    const { sessionId, attach } = this.parts.transfers.redeem(ticket);
    this.use(sessionId);
    return attach();
  }

  /** @throws CocosError SESSION_NOT_FOUND for a ticket that no live session holds */
  download(ticket: Uint8Array): ResultPort {
    const found = this.downloads.redeem(ticket);
    if (found === null) {
      throw new CocosError(
        'SESSION_NOT_FOUND',
        'The download ticket is unknown, used or expired; open the result again.',
      );
    }
    this.use(found.sessionId);
    return this.parts.results;
  }

  /** States from now on and, for consumers, all log lines. */
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
      const { computation } = this.parts;
      const hasLog = computation.context.manifest?.disclosure?.log !== 'off';
      for await (const item of computation.follow(hasLog && session.role === 'consumer', signal)) {
        yield channel.seal(encodeBody(item satisfies FollowItem), ASSOCIATED.item);
      }
    } finally {
      channel.erase();
    }
  }

  private async answer(session: Session, body: Uint8Array): Promise<unknown> {
    const { computation, transfers, results, identity } = this.parts;
    const context = {
      ...{ computation, transfers, results, agentSigningKey: identity.signing.publicKey },
      issueDownload: () => this.downloads.issue(session.id, null),
      closeSession: () => this.close(session),
    };
    return answerRequest(context, session, decodeBody(SealedRequest, body));
  }

  /** Ends a session and revokes its tickets. Its keys remain for the answer that is still to be sealed. */
  private close(session: Session): void {
    this.parts.evidence.send(session.attestation, { type: 'session.closed' });
    this.remove(session.id);
  }

  private makeRoomFor(participant: string): void {
    const own = [...this.sessions.values()].filter((each) => each.participant === participant);
    const [oldest] = own.sort((one, other) => one.usedMs - other.usedMs);
    if (oldest === undefined || own.length < PARTICIPANT_SESSIONS) return;
    this.close(oldest);
    oldest.channel.erase();
  }

  /** Removes a session, its keys and its tickets. */
  private forget(sessionId: string): void {
    this.sessions.get(sessionId)?.channel.erase();
    this.remove(sessionId);
  }

  private remove(sessionId: string): void {
    this.sessions.delete(sessionId);
    this.downloads.revoke(sessionId);
    this.parts.transfers.revokeTickets(sessionId);
  }

  private isOpen(session: Session): boolean {
    return this.parts.evidence.find(session.attestation)?.matches('inSession') === true;
  }

  private use(sessionId: string): Session {
    const session = this.sessions.get(sessionId);
    if (session === undefined || !this.isOpen(session)) {
      this.forget(sessionId);
      throw new CocosError('SESSION_NOT_FOUND', 'The session is unknown or has ended; open a new one.');
    }
    const atMs = systemClock.monotonic();
    if (atMs - session.usedMs > this.parts.limits.idleMs / USE_EVENTS) {
      session.usedMs = atMs;
      this.parts.evidence.send(session.attestation, { type: 'session.used', atMs });
    }
    return session;
  }
}
