import { z } from 'zod';
import { CocosError } from '../errors.ts';
import { decodeMsgpack, encodeMsgpack } from './msgpack.ts';

/** Frames of the manager-agent link: `u32 big-endian length`, then msgpack `[kind, seq, ack, body]`. */

export const MAX_FRAME_BYTES = 1024 * 1024;
const HEADER_BYTES = 4;

/** Wire numbers of the kinds; append only. */
export const FRAME_KINDS = [
  'hello',
  'event',
  'command',
  'reply',
  'snapshot',
  'ack',
  'ping',
  'log',
  'metric',
] as const;
export type FrameKind = (typeof FRAME_KINDS)[number];

export interface Frame {
  readonly kind: FrameKind;
  /** Position in the sender's journal; 0 for kinds that are not journaled. */
  readonly seq: number;
  /** Highest position of the receiver's journal that the sender has taken in. */
  readonly ack: number;
  readonly body: unknown;
}

const Counter = z.int().min(0);
const FrameArray = z.tuple([
  z
    .int()
    .min(0)
    .max(FRAME_KINDS.length - 1),
  Counter,
  Counter,
  z.unknown(),
]);

/** @throws CocosError LIMIT_EXCEEDED when the frame is over 1 MiB. */
export function encodeFrame(frame: Frame): Buffer {
  const payload = encodeMsgpack([FRAME_KINDS.indexOf(frame.kind), frame.seq, frame.ack, frame.body]);
  return prefixLength(payload, MAX_FRAME_BYTES);
}

/** @throws CocosError FRAME_INVALID when the payload is not one well-formed frame. */
export function decodeFrame(payload: Uint8Array): Frame {
  const parsed = FrameArray.safeParse(decodeMsgpack(payload));
  if (!parsed.success) throw new CocosError('FRAME_INVALID', 'A frame is not [kind, seq, ack, body].');
  const [kind, seq, ack, body] = parsed.data;
  const name = FRAME_KINDS[kind];
  if (name === undefined) throw new CocosError('FRAME_INVALID', 'A frame has an unknown kind.');
  return { kind: name, seq, ack, body };
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
  private chunks: Buffer[] = [];
  private buffered = 0;
  private readonly limit: number;

  constructor(limit: number = MAX_FRAME_BYTES) {
    this.limit = limit;
  }

  /** Messages completed by this chunk. @throws CocosError FRAME_INVALID for a length of 0 or over the limit. */
  *push(chunk: Buffer): Generator<Buffer> {
    this.chunks.push(chunk);
    this.buffered += chunk.length;
    while (this.buffered >= HEADER_BYTES) {
      const length = this.peekLength();
      if (length === 0 || length > this.limit) {
        throw new CocosError(
          'FRAME_INVALID',
          `A message announces ${length} bytes; 1 to ${this.limit} are allowed.`,
        );
      }
      if (this.buffered < HEADER_BYTES + length) return;
      const message = this.take(HEADER_BYTES + length).subarray(HEADER_BYTES);
      yield message;
    }
  }

  private peekLength(): number {
    const first = this.chunks[0];
    if (first !== undefined && first.length >= HEADER_BYTES) return first.readUInt32BE(0);
    const joined = Buffer.concat(this.chunks);
    this.chunks = [joined];
    return joined.readUInt32BE(0);
  }

  private take(count: number): Buffer {
    const [first] = this.chunks;
    const joined = this.chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.chunks);
    this.chunks = joined.length > count ? [joined.subarray(count)] : [];
    this.buffered -= count;
    return joined.subarray(0, count);
  }
}
