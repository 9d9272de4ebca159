import { CocosError } from '../../errors.ts';
import { decodeMsgpack, encodeMsgpack } from './msgpack.ts';

/** Frames of the manager-agent link: `u32 big-endian length`, then msgpack `[kind, seq, ack, body]`. */

export const MAX_FRAME_BYTES = 1024 * 1024;
/** Values that the maps and lists of a frame may hold together. What is really sent has more bytes for each. */
const MAX_FRAME_VALUES = 131_072;
const HEADER_BYTES = 4;

/** The index of a kind is its wire number; append only. */
export const FRAME_KINDS = ['hello', 'event', 'command', 'reply', 'snapshot', 'ack', 'ping'] as const;
export type FrameKind = (typeof FRAME_KINDS)[number];

export interface Frame {
  readonly kind: FrameKind;
  /** Position in the sender's journal; 0 for kinds that are not journaled. */
  readonly seq: number;
  /** Highest position in the receiver's journal that the sender has stored. */
  readonly ack: number;
  readonly body: unknown;
}

/** @throws CocosError LIMIT_EXCEEDED if the frame is larger than 1 MiB */
export function encodeFrame(frame: Frame): Buffer {
  const payload = encodeMsgpack([FRAME_KINDS.indexOf(frame.kind), frame.seq, frame.ack, frame.body]);
  return prefixLength(payload, MAX_FRAME_BYTES);
}

/** @throws CocosError FRAME_INVALID if the payload is not one well-formed frame */
export function decodeFrame(payload: Uint8Array): Frame {
  const parts: unknown = decodeMsgpack(payload, MAX_FRAME_VALUES);
  if (!Array.isArray(parts) || parts.length !== 4) malformed();
  const [kind, seq, ack, body]: readonly unknown[] = parts;
  // Checked by hand instead of by a schema, since this runs for every frame of every enclave.
  if (!isCounter(kind) || !isCounter(seq) || !isCounter(ack)) malformed();
  const name = FRAME_KINDS[kind];
  if (name === undefined)
    throw new CocosError('FRAME_INVALID', `The peer sent a frame of the unknown kind ${kind}.`);
  return { kind: name, seq, ack, body };
}

function isCounter(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function malformed(): never {
  throw new CocosError('FRAME_INVALID', 'The peer sent a frame that is not [kind, seq, ack, body].');
}

/** One length-prefixed message. @throws CocosError LIMIT_EXCEEDED if it is larger than `limit` bytes */
export function prefixLength(payload: Uint8Array, limit: number): Buffer {
  if (payload.length > limit) {
    throw new CocosError(
      'LIMIT_EXCEEDED',
      `A message of ${payload.length} bytes exceeds the limit of ${limit} bytes.`,
    );
  }
  const out = Buffer.allocUnsafe(HEADER_BYTES + payload.length);
  out.writeUInt32BE(payload.length, 0);
  out.set(payload, HEADER_BYTES);
  return out;
}

/** Splits a byte stream into length-prefixed messages. The length is checked before anything is buffered for it. */
export class LengthPrefixReader {
  /** Chunks of incomplete messages, in order; usually empty. */
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
      // Also if the consumer stops early: it must not get the same messages again.
      if (at < all.length) this.keep(all.subarray(at));
    }
  }

  /** The bytes since the last complete message, or null while the next one is incomplete. */
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

  /** Merges a chunk with shorter ones before it, so that many small chunks cost neither time nor memory. */
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
        `The peer announced a message of ${length} bytes; 1 to ${this.limit} are allowed.`,
      );
    }
    return length;
  }
}
