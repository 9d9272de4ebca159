import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { CocosError } from '../../errors.ts';
import { decodeMsgpack, encodeMsgpack } from '../../link/wire/msgpack.ts';
import { Milliseconds } from '../../machines/common.ts';

/** What the outbox keeps of one transition, and the form in which it lies on the disk. */

/** A larger event would not pass as one message of the stream, whose limit is 4 MiB. */
export const EVENT_BYTES_LIMIT = 1024 * 1024;

const CHECKSUM_BYTES = 4;

/** Type of the event that stands in for one whose record cannot be read any more. */
export const DAMAGED_EVENT = 'record.damaged';

export const OutboxEvent = z.strictObject({
  atMs: Milliseconds,
  /** Address of the actor, for example `enclave/7f3a/computation`. */
  address: z.string().max(256),
  /** Type of the event that moved it. */
  event: z.string().max(256),
  from: z.string().max(1024),
  to: z.string().max(1024),
  /** Public context as JSON. */
  contextJson: z.string(),
});
export type OutboxEvent = z.infer<typeof OutboxEvent>;

const Stored = z.tuple([z.literal(1), z.string(), z.int().min(1), OutboxEvent]);

/** Which event of which computation a record holds; known from its keys too, should the record be damaged. */
export interface EventPlace {
  readonly computationId: string;
  /** Counts from 1 within the computation. */
  readonly sequence: number;
}

/** @throws CocosError LIMIT_EXCEEDED when the event is larger than 1 MiB. */
export function encodeOutboxRecord(place: EventPlace, event: OutboxEvent): Buffer {
  const body = encodeMsgpack([1, place.computationId, place.sequence, event]);
  if (body.length > EVENT_BYTES_LIMIT) {
    throw new CocosError('LIMIT_EXCEEDED', `An event of ${event.address} is larger than 1 MiB.`, {
      details: { bytes: body.length, limit: EVENT_BYTES_LIMIT },
    });
  }
  const record = Buffer.allocUnsafe(CHECKSUM_BYTES + body.length);
  record.writeUInt32BE(crc32(body));
  record.set(body, CHECKSUM_BYTES);
  return record;
}

/**
 * The event of a record. One that is damaged, or is not of this place, becomes an event that says so: its
 * number must not go missing from the computation's sequence.
 */
export function decodeOutboxRecord(place: EventPlace, record: Buffer | undefined): OutboxEvent {
  const body = record?.subarray(CHECKSUM_BYTES) ?? Buffer.alloc(0);
  try {
    if (record?.readUInt32BE() !== crc32(body)) return damaged;
    const [, computationId, sequence, event] = Stored.parse(decodeMsgpack(body));
    return computationId === place.computationId && sequence === place.sequence ? event : damaged;
  } catch {
    return damaged;
  }
}

const damaged: OutboxEvent = {
  atMs: 0,
  address: '',
  event: DAMAGED_EVENT,
  from: '',
  to: '',
  contextJson: '{}',
};
