import { AEAD_TAG_BYTES } from '../../crypto/aead.ts';
import { CocosError, type ErrorCode } from '../../errors.ts';
import { publicCause } from '../../machines/public-cause.ts';
import type { TransferEvent } from '../../machines/transfer.machine.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { UploadStream } from '../ports.ts';
import type { InputRecord, InputStore } from './input-store.ts';

/** Bytes between two progress events of a transfer. */
const PROGRESS_BYTES = 8 * 1024 * 1024;

/** Errors that no further segment can repair. */
const FINAL: ReadonlySet<ErrorCode> = new Set([
  'TRANSFER_SIZE_MISMATCH',
  'TRANSFER_ENCODING',
  'LIMIT_EXCEEDED',
]);

/** Feeds one stream of segments into one attempt of a transfer. The transfer's machine decides what is legal. */
export class UploadReceiver implements UploadStream {
  private readonly inputs: InputStore;
  private readonly record: InputRecord;
  private readonly send: (event: TransferEvent) => void;
  private readonly attempt: number;
  private reported: number;
  private hasLast = false;

  constructor(
    inputs: InputStore,
    record: InputRecord,
    attempt: number,
    send: (event: TransferEvent) => void,
  ) {
    this.inputs = inputs;
    this.record = record;
    this.attempt = attempt;
    this.send = send;
    this.reported = record.received;
  }

  get nextIndex(): number {
    return this.record.segments;
  }

  get segmentBytes(): number {
    return this.record.segmentSize + AEAD_TAG_BYTES;
  }

  /** @throws CocosError as `InputStore.take`; STREAM_TRAILING after the last segment */
  async take(index: number, last: boolean, ciphertext: Uint8Array): Promise<void> {
    const { record } = this;
    if (this.isSuperseded) {
      throw new CocosError(
        'TRANSFER_NOT_FOUND',
        `The sender of '${record.input}' has opened this transfer again; this stream is obsolete.`,
      );
    }
    // The transfer may have ended since, so its record cannot say it.
    if (this.hasLast) throw new CocosError('STREAM_TRAILING', 'A segment arrived after the last one.');
    await this.inputs.take(record, index, last, ciphertext);
    if (last) {
      this.hasLast = true;
      this.send({ type: 'transfer.received', received: record.received });
    } else if (record.received - this.reported >= PROGRESS_BYTES) {
      this.reported = record.received;
      this.send({ type: 'transfer.progress', segments: record.segments, received: record.received });
    }
  }

  end(): number {
    this.suspend();
    return this.record.segments;
  }

  interrupt(error: Error): void {
    const refusal = CocosError.from(error);
    if (!FINAL.has(refusal.code)) return this.suspend();
    if (this.isSuperseded) return;
    this.record.refusal = refusal;
    this.send({ type: 'transfer.refused', cause: publicCause(refusal) });
  }

  /** A transfer that is complete ignores this. */
  private suspend(): void {
    if (!this.isSuperseded) this.send({ type: 'transfer.broken', atMs: systemClock.monotonic() });
  }

  /** A later attempt has another key, so the segments of this stream are worthless. */
  private get isSuperseded(): boolean {
    return this.record.attempt !== this.attempt;
  }
}
