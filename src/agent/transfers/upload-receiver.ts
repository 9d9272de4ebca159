import { AEAD_TAG_BYTES } from '../../crypto/aead.ts';
import { CocosError, type ErrorCode } from '../../errors.ts';
import { systemClock } from '../../runtime/clock.ts';

import type { Agent } from '../agent.ts';
import type { Upload } from './input-store.ts';

/** A transfer's progress is told to its mirror this often, in bytes. */
const PROGRESS_BYTES = 8 * 1024 * 1024;

/** After these no segment that could come would mend the transfer. */
const FINAL: ReadonlySet<ErrorCode> = new Set([
  'TRANSFER_SIZE_MISMATCH',
  'TRANSFER_ENCODING',
  'LIMIT_EXCEEDED',
]);

/** One stream of segments into one transfer; what is legal is for the transfer's machine to say. */
export class UploadReceiver {
  private readonly agent: Agent;
  private readonly upload: Upload;
  /** A later attempt of the same upload makes this stream's segments worthless. */
  private readonly attempt: number;
  private reported: number;

  /** @throws CocosError TRANSFER_NOT_FOUND, STATE_EVENT_ILLEGAL when another stream feeds this transfer. */
  constructor(agent: Agent, transferId: string, attempt: number) {
    const upload = agent.inputs.find(transferId);
    if (upload === undefined || upload.attempt !== attempt) {
      throw new CocosError('TRANSFER_NOT_FOUND', 'The transfer is not known here, or was opened anew.');
    }
    this.agent = agent;
    this.upload = upload;
    this.attempt = attempt;
    this.reported = upload.received;
    agent.sendLegal(this.address, { type: 'transfer.attached' });
  }

  /** Index of the segment that comes next. */
  get nextIndex(): number {
    return this.upload.opener.nextIndex;
  }

  /** Bytes of the longest sealed segment. */
  get segmentBytes(): number {
    return this.upload.segmentSize + AEAD_TAG_BYTES;
  }

  /** The memory is the caller's again when the next segment was taken. @throws CocosError as `InputStore.take` */
  async take(index: number, last: boolean, ciphertext: Uint8Array): Promise<void> {
    const { upload, agent } = this;
    if (this.isOvertaken)
      throw new CocosError('TRANSFER_NOT_FOUND', 'The sender has opened this transfer anew.');
    await agent.inputs.take(upload, index, last, ciphertext);
    if (last) {
      agent.send(this.address, { type: 'transfer.received', received: upload.received });
    } else if (upload.received - this.reported >= PROGRESS_BYTES) {
      this.reported = upload.received;
      const segments = upload.opener.nextIndex;
      agent.send(this.address, { type: 'transfer.progress', segments, received: upload.received });
    }
  }

  /** The sender ended its stream. Segments taken in so far. */
  end(): number {
    if (!this.isOvertaken && !this.upload.opener.finished)
      this.agent.send(this.address, { type: 'transfer.broken', atMs: systemClock.monotonic() });
    return this.upload.opener.nextIndex;
  }

  /** The stream broke, or what came on it was not what was sealed: the sender may come back and go on. */
  broken(error: CocosError): void {
    if (this.isOvertaken) return;
    if (FINAL.has(error.code)) {
      this.agent.send(this.address, { type: 'transfer.refused', cause: error.toJSON() });
    } else {
      this.agent.send(this.address, { type: 'transfer.broken', atMs: systemClock.monotonic() });
    }
  }

  private get isOvertaken(): boolean {
    return this.upload.attempt !== this.attempt;
  }

  private get address(): string {
    return `transfer/${this.upload.id}`;
  }
}
