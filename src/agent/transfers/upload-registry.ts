import { waitFor } from 'xstate';
import { CocosError } from '../../errors.ts';
import { publicCause } from '../../machines/public-cause.ts';
import type { TransferEvent } from '../../machines/transfer.machine.ts';
import { DEFAULT_SEGMENT_SIZE, MAX_SEGMENT_SIZE, MIN_SEGMENT_SIZE } from '../../protocol/segments.ts';
import type { TransferFinished, TransferOpened } from '../../rpc/sealed.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { ActorsPort, ComputationPort, TransferPort, TransferTerms, UploadStream } from '../ports.ts';
import { expectedDigest, type Session } from '../sessions/sessions.ts';
import { contentSize, type InputRecord, type InputStore, type NewUpload } from './input-store.ts';
import { quotasOf } from './quota-reservations.ts';
import { UploadReceiver } from './upload-receiver.ts';

/**
 * The transfers of this agent. The machines of transfer and computation hold what peers see; the input's record in
 * the `InputStore` holds bytes, quota and tickets; this class keeps nothing itself.
 */
export class UploadRegistry implements TransferPort {
  private readonly actors: ActorsPort;
  private readonly computation: ComputationPort;
  private readonly inputs: InputStore;
  private readonly waitMs: number;

  /** @param waitMs how long a transfer waits for its sender */
  constructor(actors: ActorsPort, computation: ComputationPort, inputs: InputStore, waitMs: number) {
    this.actors = actors;
    this.computation = computation;
    this.inputs = inputs;
    this.waitMs = waitMs;
  }

  async open(session: Session, terms: TransferTerms): Promise<TransferOpened> {
    const { manifest } = this.computation.context;
    if (manifest === null) {
      throw new CocosError('INPUT_NOT_EXPECTED', 'The enclave has no manifest yet; try again later.');
    }
    const { input, size, inflatedSize, digest } = terms;
    const expected = expectedDigest(manifest, session, input);
    if (digest !== expected) {
      throw new CocosError(
        'TRANSFER_DIGEST_MISMATCH',
        `The manifest expects the digest ${expected} for '${input}'; the sender declared ${digest}.`,
        { details: { expected, found: digest } },
      );
    }
    const present = this.inputs.ofInput(input);
    const isSame = present?.participant === session.participant && present.size === size;
    // A sender that reconnects continues, even if the end of its last stream was not noticed yet.
    if (present?.receiving != null && isSame && present.inflatedSize === inflatedSize) {
      this.send(present.id, { type: 'transfer.broken', atMs: systemClock.monotonic() });
      this.inputs.resume(present, session);
      return opened(session, present);
    }
    const segmentSize = withinBounds(terms.segmentSize ?? DEFAULT_SEGMENT_SIZE);
    return opened(session, await this.begin(session, { input, size, inflatedSize, digest, segmentSize }));
  }

  /** Starts the transfer of an input that is still expected. @throws CocosError INPUT_NOT_EXPECTED, QUOTA_EXCEEDED, LIMIT_EXCEEDED */
  async begin(session: Session, terms: NewUpload): Promise<InputRecord> {
    const { input, size, digest } = terms;
    const { participant } = session;
    const quotas = quotasOf(this.computation.context.manifest?.limits);
    const { record, replaced } = await this.inputs.reserve(participant, terms, quotas);
    // Retired here, since the transfers of an input that is sent again and again would accumulate.
    if (replaced !== undefined) this.actors.retire(addressOf(replaced.id));
    try {
      this.computation.sendLegal({ type: 'input.receiving', input, transferId: record.id });
    } catch (cause) {
      await this.inputs.release(record);
      throw new CocosError(
        'INPUT_NOT_EXPECTED',
        `The input '${input}' has arrived or is being sent already.`,
        { cause },
      );
    }
    try {
      await this.inputs.begin(record, session);
    } catch (thrown) {
      await this.release(record);
      throw thrown;
    }
    this.actors.notify({
      type: 'transfer.requested',
      address: addressOf(record.id),
      input: {
        ...{ transferId: record.id, input, participant, size, digest },
        ...{ waitMs: this.waitMs, atMs: systemClock.monotonic() },
      },
    });
    return record;
  }

  async finish(session: Session, id: string): Promise<TransferFinished> {
    const { input, digest } = this.own(session, id).getSnapshot().context;
    const settled = await waitFor(
      this.own(session, id),
      (snapshot) => !snapshot.matches('receiving') && !snapshot.matches('checking'),
    );
    if (settled.matches('committed')) {
      return { digest, size: this.computation.context.inputs[input]?.size ?? 0 };
    }
    // The sender learns the details under its session's keys; the machine holds what the host may know.
    const refusal = this.inputs.find(id)?.refusal ?? null;
    if (refusal !== null) throw refusal;
    const { cause } = settled.context;
    if (cause !== null) throw CocosError.fromJson(cause);
    throw new CocosError(
      'STREAM_TRUNCATED',
      `The transfer of '${input}' is not complete; open it again to send the rest.`,
    );
  }

  abort(session: Session, id: string): void {
    this.own(session, id);
    this.actors.sendLegal(addressOf(id), { type: 'transfer.abort' });
  }

  redeem(ticket: Uint8Array): { readonly sessionId: string; readonly attach: () => UploadStream } {
    for (const record of this.inputs.all()) {
      const found = record.tickets.redeem(ticket);
      if (found !== null)
        return { sessionId: found.sessionId, attach: () => this.attach(record, found.grant) };
    }
    throw new CocosError(
      'SESSION_NOT_FOUND',
      'The upload ticket is unknown, used or expired; open the transfer again.',
    );
  }

  revokeTickets(sessionId: string): void {
    for (const record of this.inputs.all()) record.tickets.revoke(sessionId);
  }

  /** Compares a received input with its declaration and commits it. @throws CocosError TRANSFER_* */
  async commit(id: string): Promise<void> {
    const record = this.inputs.find(id);
    if (record === undefined) {
      throw new CocosError('TRANSFER_NOT_FOUND', `The agent holds no bytes of the transfer '${id}'.`);
    }
    await this.inputs.commit(record);
    this.send(id, { type: 'transfer.checked' });
    const { input, digest } = record;
    const atMs = systemClock.monotonic();
    this.computation.send({ type: 'input.committed', input, size: contentSize(record), digest, atMs });
  }

  refuse(id: string, error: CocosError): void {
    const record = this.inputs.find(id);
    if (record !== undefined) record.refusal = error;
    this.send(id, { type: 'transfer.refused', cause: publicCause(error) });
  }

  /** Deletes the bytes of a transfer that is over, so that its input can be sent again. */
  async abandon(id: string): Promise<void> {
    const record = this.inputs.find(id);
    if (record !== undefined) await this.release(record);
  }

  private async release(record: InputRecord): Promise<void> {
    try {
      await this.inputs.release(record);
    } finally {
      // Bytes that could not be deleted do not keep the input from being sent again.
      this.computation.send({ type: 'input.released', input: record.input });
    }
  }

  /** @throws CocosError TRANSFER_NOT_FOUND for another attempt, STATE_EVENT_ILLEGAL while another stream is attached */
  private attach(record: InputRecord, attempt: number): UploadStream {
    if (record.receiving === null || record.attempt !== attempt) {
      throw new CocosError(
        'TRANSFER_NOT_FOUND',
        `The transfer of '${record.input}' has ended or was opened again; this ticket is obsolete.`,
      );
    }
    const stream = new UploadReceiver(this.inputs, record, attempt, (event) => this.send(record.id, event));
    this.actors.sendLegal(addressOf(record.id), { type: 'transfer.attached' });
    return stream;
  }

  /** The transfer of a participant. Nobody learns whether a transfer of somebody else exists. */
  private own(session: Session, id: string) {
    const transfer = this.actors.transfer(id);
    if (transfer === undefined || transfer.getSnapshot().context.participant !== session.participant) {
      throw new CocosError('TRANSFER_NOT_FOUND', `There is no transfer '${id}' of this participant.`);
    }
    return transfer;
  }

  private send(id: string, event: TransferEvent): void {
    this.actors.send(addressOf(id), event);
  }
}

function addressOf(id: string): string {
  return `transfer/${id}`;
}

function opened(session: Session, record: InputRecord): TransferOpened {
  return {
    transferId: record.id,
    aead: session.aead,
    segmentSize: record.segmentSize,
    firstSegment: record.segments,
    attempt: record.attempt,
    ticket: record.tickets.issue(session.id, record.attempt),
  };
}

/** The sender proposes a segment size; the limits of the stream bound it. */
function withinBounds(segmentSize: number): number {
  return Math.min(Math.max(segmentSize, MIN_SEGMENT_SIZE), MAX_SEGMENT_SIZE);
}
