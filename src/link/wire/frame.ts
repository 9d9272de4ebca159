import { CocosError } from '../../errors.ts';
import { decodeMsgpack, encodeMsgpack } from './msgpack.ts';

/** Frames of the manager-agent link: `u32 big-endian length`, then msgpack `[kind, seq, ack, body]`. */

export const MAX_FRAME_BYTES = 1024 * 1024;
const HEADER_BYTES = 4;

/** The index of a kind is its wire number; append only. */
export const FRAME_KINDS = ['hello', 'event', 'command', 'reply', 'snapshot', 'ack', 'ping'] as const;
export type FrameKind = (typeof FRAME_KINDS)[number];

export interface Frame {
  readonly kind: FrameKind;
  /** Position in the sender's journal; 0 for kinds that are not journaled. */
  readonly seq: number;
  /** Highest position of the receiver's journal that the sender has taken in. */
  readonly ack: number;
  readonly body: unknown;
}

/** @throws CocosError LIMIT_EXCEEDED when the frame is over 1 MiB. */
export function encodeFrame(frame: Frame): Buffer {
  const payload = encodeMsgpack([FRAME_KINDS.indexOf(frame.kind), frame.seq, frame.ack, frame.body]);
  return prefixLength(payload, MAX_FRAME_BYTES);
}

/** @throws CocosError FRAME_INVALID when the payload is not one well-formed frame. */
export function decodeFrame(payload: Uint8Array): Frame {
  const parts: unknown = decodeMsgpack(payload);
  if (!Array.isArray(parts) || parts.length !== 4) malformed();
  const [kind, seq, ack, body]: readonly unknown[] = parts;
  // By hand, since this runs for every frame of every enclave.
  if (!isCounter(kind) || !isCounter(seq) || !isCounter(ack)) malformed();
  const name = FRAME_KINDS[kind];
  if (name === undefined) throw new CocosError('FRAME_INVALID', 'A frame has an unknown kind.');
  return { kind: name, seq, ack, body };
}

function isCounter(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function malformed(): never {
  throw new CocosError('FRAME_INVALID', 'A frame is not [kind, seq, ack, body].');
}

/** One length-prefixed message. @throws CocosError LIMIT_EXCEEDED when it is larger than `limit` bytes. */
export function prefixLength(payload: Uint8Array, limit: number): Buffer {
  if (payload.length > limit) {
    throw new CocosError(
      'LIMIT_EXCEEDED',
      `A message of ${payload.length} bytes is over the limit of ${limit}.`,
    );
  }
  const out = Buffer.allocUnsafe(HEADER_BYTES + payload.length);
  out.writeUInt32BE(payload.length, 0);
  out.set(payload, HEADER_BYTES);
  return out;
}

/** Cuts a byte stream into length-prefixed messages; the length is checked before anything is kept for it. */
export class LengthPrefixReader {
  /** What has come of messages that are not complete, in order; empty most of the time. */
  private chunks: Buffer[] = [];
  private buffered = 0;
  private readonly limit: number;

  constructor(limit: number = MAX_FRAME_BYTES) {
    this.limit = limit;
  }

  /** Messages completed by this chunk. @throws CocosError FRAME_INVALID for a length of 0 or over the limit. */
  *push(chunk: Buffer): Generator<Buffer> {
    const all = this.buffered === 0 ? chunk : this.joined(chunk);
    if (all === null) return;
    let at = 0;
    try {
      while (all.length - at >= HEADER_BYTES) {
        const start = at + HEADER_BYTES;
        const end = start + this.checked(all.readUInt32BE(at));
        if (all.length < end) return;
        at = end;
        yield all.subarray(start, end);
      }
    } finally {
      // Also when the reader of the messages has had enough: those that it took must not come again.
      if (at < all.length) this.keep(all.subarray(at));
    }
  }

  /** What has come since the last whole message, or null as long as the next one is not complete. */
  private joined(chunk: Buffer): Buffer | null {
    this.keep(chunk);
    if (this.buffered < HEADER_BYTES) return null;
    const [first] = this.chunks;
    const head = first !== undefined && first.length >= HEADER_BYTES ? first : Buffer.concat(this.chunks);
    if (this.buffered < HEADER_BYTES + this.checked(head.readUInt32BE(0))) return null;
    const all = Buffer.concat(this.chunks);
    this.chunks = [];
    this.buffered = 0;
    return all;
  }

  /** A chunk is joined with one before it that is no longer, so that many small ones cost neither time nor memory. */
  private keep(chunk: Buffer): void {
    this.buffered += chunk.length;
    let last = chunk;
    for (let before = this.chunks.at(-1); before !== undefined && before.length <= last.length; ) {
      this.chunks.pop();
      last = Buffer.concat([before, last]);
      before = this.chunks.at(-1);
    }
    this.chunks.push(last);
  }

  private checked(length: number): number {
    if (length === 0 || length > this.limit) {
      throw new CocosError(
        'FRAME_INVALID',
        `A message announces ${length} bytes; 1 to ${this.limit} are allowed.`,
      );
    }
    return length;
  }
}
