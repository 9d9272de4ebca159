import { timingSafeEqual } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { z } from 'zod';
import { concat, u32be, utf8 } from '../crypto/bytes.ts';
import { CocosError } from '../errors.ts';
import { Cause } from '../machines/common.ts';

/**
 * The bulk stream: sealed segments on a plain byte stream beside gRPC, through the same relay and port.
 *
 * participant: preface = "COCOSBLK" ‖ version 1 ‖ direction ‖ 0 0 ‖ ticket (32 bytes) ‖ first segment (u32)
 * agent:       answer  = u32 length ‖ JSON: accepted, or refused with a cause
 * up:          the participant's segments, framed (`protocol/segment-frames.ts`), then a second answer of the agent
 * down:        the agent's segments, framed
 *
 * Neither end uses half-close, since vsock daemons do not forward it: the end that has received everything closes the
 * stream. Nothing on the stream is secret or trusted: opening a segment authenticates it, and a sealed call returns the
 * outcome of a transfer.
 */

export const BULK_MAGIC = utf8('COCOSBLK');
export const BULK_VERSION = 1;
export const TICKET_BYTES = 32;
export const PREFACE_BYTES = BULK_MAGIC.length + 4 + TICKET_BYTES + 4;
/** Maximum length of an answer's JSON. */
const MAX_ANSWER_BYTES = 16 * 1024;
/** A peer that transfers no complete segment for this long is disconnected: 17 KiB/s at segments of 1 MiB. */
export const BULK_STALL_MS = 60_000;

const DIRECTIONS = { up: 1, down: 2 } as const;

export interface BulkPreface {
  readonly direction: keyof typeof DIRECTIONS;
  readonly ticket: Uint8Array;
  /** Index of the first requested segment, for downloads. */
  readonly firstSegment: number;
}

export const BulkAnswer = z.discriminatedUnion('ok', [
  /** Segments that the agent holds. */
  z.strictObject({ ok: z.literal(true), segments: z.int().min(0) }),
  z.strictObject({ ok: z.literal(false), error: Cause }),
]);
export type BulkAnswer = z.infer<typeof BulkAnswer>;

export function encodePreface({ direction, ticket, firstSegment }: BulkPreface): Uint8Array {
  const head = Uint8Array.of(BULK_VERSION, DIRECTIONS[direction], 0, 0);
  return concat(BULK_MAGIC, head, ticket, u32be(firstSegment));
}

/** Whether the first bytes of a connection announce a bulk stream; HTTP/2 begins with "PRI". */
export function isBulk(start: Uint8Array): boolean {
  return (
    start.length >= BULK_MAGIC.length && timingSafeEqual(start.subarray(0, BULK_MAGIC.length), BULK_MAGIC)
  );
}

/** @throws CocosError FRAME_INVALID for another version or direction, or reserved bytes that are set */
export function decodePreface(bytes: Uint8Array): BulkPreface {
  const [version, direction, reserved, reserved2] = bytes.subarray(BULK_MAGIC.length);
  if (bytes.length !== PREFACE_BYTES || !isBulk(bytes) || version !== BULK_VERSION) {
    throw new CocosError('FRAME_INVALID', `The peer's bulk stream does not have version ${BULK_VERSION}.`);
  }
  if ((direction !== 1 && direction !== 2) || reserved !== 0 || reserved2 !== 0) {
    throw new CocosError('FRAME_INVALID', 'The preface of the bulk stream is malformed.');
  }
  const at = BULK_MAGIC.length + 4;
  return {
    direction: direction === DIRECTIONS.up ? 'up' : 'down',
    ticket: bytes.slice(at, at + TICKET_BYTES),
    firstSegment: new DataView(bytes.buffer, bytes.byteOffset).getUint32(at + TICKET_BYTES),
  };
}

export function encodeAnswer(answer: BulkAnswer): Uint8Array {
  const json = utf8(JSON.stringify(answer));
  return concat(u32be(json.length), json);
}

/** @throws CocosError FRAME_INVALID if it is not an answer; the error with which the agent refused */
export function decodeAnswer(json: Uint8Array): number {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(json).toString('utf8'));
  } catch (cause) {
    throw new CocosError('FRAME_INVALID', 'The answer on the bulk stream is not JSON.', { cause });
  }
  const parsed = BulkAnswer.safeParse(value);
  if (!parsed.success) throw new CocosError('FRAME_INVALID', 'The answer on the bulk stream is malformed.');
  if (parsed.data.ok) return parsed.data.segments;
  throw CocosError.fromJson(parsed.data.error);
}

/** Parses the four length bytes of an answer. @throws CocosError FRAME_INVALID */
export function answerLength(head: Uint8Array): number {
  const length = new DataView(head.buffer, head.byteOffset).getUint32(0);
  if (length > MAX_ANSWER_BYTES) {
    throw new CocosError('FRAME_INVALID', `An answer on the bulk stream cannot have ${length} bytes.`);
  }
  return length;
}

/** The error for the end of a stream. Its code tells whether to retry. */
export function bulkLost(stream: Duplex): CocosError {
  const cause = stream.errored ?? undefined;
  return cause instanceof CocosError
    ? cause
    : new CocosError(
        'AGENT_UNAVAILABLE',
        'The bulk stream was interrupted; repeat the command to continue.',
        cause === undefined ? {} : { cause },
      );
}
