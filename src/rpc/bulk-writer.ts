import type { Duplex } from 'node:stream';
import { CocosError } from '../errors.ts';
import { FRAME_HEADER_BYTES, writeFrameHeader } from '../protocol/segment-frames.ts';
import { bulkLost } from './bulk.ts';

/** Buffers in use at once: one is read, one is sealed, the others wait for the peer. */
const FRAMES = 4;

/** Buffer of one framed segment. */
export interface OutgoingFrame {
  readonly memory: Uint8Array;
  /** Position of the segment, after the header. */
  readonly body: Uint8Array;
}

/** Writes framed segments from a few reused buffers. A request for the next buffer waits for the peer. */
export class BulkWriter {
  private readonly stream: Duplex;
  private readonly stallMs: number;
  private readonly free: OutgoingFrame[];
  private waiting: ((error: CocosError | null) => void) | null = null;

  /** @param segmentBytes bytes of the longest sealed segment */
  constructor(stream: Duplex, segmentBytes: number, stallMs: number) {
    this.stream = stream;
    this.stallMs = stallMs;
    this.free = Array.from({ length: FRAMES }, () => {
      const memory = Buffer.allocUnsafeSlow(FRAME_HEADER_BYTES + segmentBytes);
      return { memory, body: memory.subarray(FRAME_HEADER_BYTES) };
    });
    const end = () => this.waiting?.(bulkLost(stream));
    stream.on('close', end).on('error', end).on('end', end);
  }

  /** Buffer for the next segment. @throws CocosError AGENT_UNAVAILABLE if the stream was interrupted, DEADLINE_EXCEEDED */
  async next(): Promise<OutgoingFrame> {
    for (;;) {
      if (this.stream.destroyed || this.stream.readableEnded) throw bulkLost(this.stream);
      const frame = this.free.pop();
      if (frame !== undefined) return frame;
      await this.freed();
    }
  }

  /** Sends the first `length` bytes of the frame's body. */
  send(frame: OutgoingFrame, length: number, last: boolean): void {
    writeFrameHeader(frame.memory, length, last);
    this.stream.write(frame.memory.subarray(0, FRAME_HEADER_BYTES + length), () => {
      this.free.push(frame);
      this.waiting?.(null);
    });
  }

  private freed(): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (error: CocosError | null) => {
        clearTimeout(timer);
        this.waiting = null;
        if (error === null) resolve();
        else reject(error);
      };
      const timer = setTimeout(
        () =>
          settle(
            new CocosError(
              'DEADLINE_EXCEEDED',
              'The peer of the bulk stream stalled; repeat the command to continue.',
            ),
          ),
        this.stallMs,
      );
      this.waiting = settle;
    });
  }
}
