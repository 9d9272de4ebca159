import type { Duplex } from 'node:stream';
import { AEAD_TAG_BYTES } from '../crypto/aead.ts';
import { CocosError } from '../errors.ts';
import { FRAME_HEADER_BYTES, parseFrameHeader } from '../protocol/segment-frames.ts';
import { answerLength, bulkLost, decodeAnswer } from './bulk.ts';

/** A framed segment. Its memory is reused after the next one. */
export interface FramedSegment {
  readonly bytes: Uint8Array;
  readonly last: boolean;
}

interface Want {
  readonly into: Uint8Array;
  filled: number;
  readonly done: (error: CocosError | null) => void;
}

/**
 * Reads exact lengths from a stream into the caller's memory. It reads ahead at most one chunk: the stream is paused
 * while nobody waits, which applies back-pressure.
 */
export class BulkReader {
  private readonly stream: Duplex;
  /** How long `fill` waits. */
  stallMs: number;
  private rest: Uint8Array = new Uint8Array(0);
  private want: Want | null = null;
  private ended = false;

  constructor(stream: Duplex, stallMs: number) {
    this.stream = stream;
    this.stallMs = stallMs;
    stream.on('data', (chunk: Buffer) => this.take(chunk));
    const end = () => {
      this.ended = true;
      this.want?.done(bulkLost(stream));
    };
    stream.on('end', end).on('close', end).on('error', end);
    stream.pause();
  }

  /**
   * Fills `into`.
   * @throws CocosError AGENT_UNAVAILABLE if the stream ends early, DEADLINE_EXCEEDED if it stalls
   */
  fill(into: Uint8Array): Promise<void> {
    const now = Math.min(this.rest.length, into.length);
    into.set(this.rest.subarray(0, now));
    this.rest = this.rest.subarray(now);
    if (now === into.length) return Promise.resolve();
    if (this.ended) return Promise.reject(bulkLost(this.stream));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.want?.done(
          new CocosError(
            'DEADLINE_EXCEEDED',
            'The peer of the bulk stream stalled; repeat the command to continue.',
          ),
        );
      }, this.stallMs);
      const done = (error: CocosError | null) => {
        clearTimeout(timer);
        this.want = null;
        this.stream.pause();
        if (error === null) resolve();
        else reject(error);
      };
      this.want = { into, filled: now, done };
      this.stream.resume();
    });
  }

  /** @throws CocosError as `fill`; FRAME_INVALID; the error with which the agent refused */
  async answer(): Promise<number> {
    const head = new Uint8Array(4);
    await this.fill(head);
    const json = new Uint8Array(answerLength(head));
    await this.fill(json);
    return decodeAnswer(json);
  }

  /**
   * Framed segments up to and including the last, each with at most `maxBytes`, alternating between two buffers.
   * @throws CocosError as `fill`; FRAME_INVALID for an impossible length
   */
  async *segments(maxBytes: number): AsyncGenerator<FramedSegment, void, undefined> {
    const head = new Uint8Array(FRAME_HEADER_BYTES);
    const memory = [Buffer.allocUnsafeSlow(maxBytes), Buffer.allocUnsafeSlow(maxBytes)] as const;
    for (let index = 0; ; index += 1) {
      await this.fill(head);
      const { length, last } = parseFrameHeader(head);
      if (length < AEAD_TAG_BYTES || length > maxBytes) {
        throw new CocosError('FRAME_INVALID', `A segment frame of ${length} bytes is not allowed here.`);
      }
      const bytes = memory[index % 2 === 0 ? 0 : 1].subarray(0, length);
      await this.fill(bytes);
      yield { bytes, last };
      if (last) return;
    }
  }

  private take(chunk: Uint8Array): void {
    const { want } = this;
    if (want === null) {
      // Data that was in transit when the stream was paused.
      this.rest = this.rest.length === 0 ? chunk : Buffer.concat([this.rest, chunk]);
      return;
    }
    const now = Math.min(chunk.length, want.into.length - want.filled);
    want.into.set(now === chunk.length ? chunk : chunk.subarray(0, now), want.filled);
    want.filled += now;
    if (now < chunk.length) this.rest = chunk.subarray(now);
    if (want.filled === want.into.length) want.done(null);
  }
}
