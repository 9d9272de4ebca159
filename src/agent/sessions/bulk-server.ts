import type { Duplex } from 'node:stream';
import { CocosError } from '../../errors.ts';
import {
  BULK_STALL_MS,
  type BulkAnswer,
  type BulkPreface,
  decodePreface,
  encodeAnswer,
  PREFACE_BYTES,
} from '../../rpc/bulk.ts';
import { BulkReader } from '../../rpc/bulk-reader.ts';
import { BulkWriter } from '../../rpc/bulk-writer.ts';
import type { Connection } from './connections.ts';
import { hostError } from './host-error.ts';
import type { ParticipantService } from './participant-service.ts';

const PREFACE_LIMIT_MS = 10_000;
/** How long the peer may take to close a stream that is complete. */
const CLOSE_LIMIT_MS = 10_000;

/** Serves one bulk stream, beginning with its preface; never throws. Service and machines decide what is legal. */
export async function serveBulk(
  service: ParticipantService,
  stream: Duplex,
  connection: Connection,
): Promise<void> {
  try {
    const reader = new BulkReader(stream, PREFACE_LIMIT_MS);
    const bytes = new Uint8Array(PREFACE_BYTES);
    await reader.fill(bytes);
    reader.stallMs = BULK_STALL_MS;
    const preface = decodePreface(bytes);
    if (preface.direction === 'up') await takeUpload(service, stream, reader, preface, connection);
    else await sendResult(service, stream, preface, connection);
  } catch (thrown) {
    say(stream, { ok: false, error: hostError(thrown).toJSON() });
  }
  await closedByPeer(stream);
}

async function takeUpload(
  service: ParticipantService,
  stream: Duplex,
  reader: BulkReader,
  { ticket }: BulkPreface,
  connection: Connection,
): Promise<void> {
  const receiver = service.attachUpload(ticket);
  connection.reach('session');
  try {
    say(stream, { ok: true, segments: receiver.nextIndex });
    for await (const { bytes, last } of reader.segments(receiver.segmentBytes)) {
      await receiver.take(receiver.nextIndex, last, bytes);
    }
    say(stream, { ok: true, segments: receiver.end() });
  } catch (thrown) {
    receiver.interrupt(CocosError.from(thrown));
    throw thrown;
  }
}

async function sendResult(
  service: ParticipantService,
  stream: Duplex,
  preface: BulkPreface,
  connection: Connection,
): Promise<void> {
  const result = await service.download(preface.ticket).read(preface.firstSegment);
  connection.reach('session');
  try {
    say(stream, { ok: true, segments: 0 });
    const writer = new BulkWriter(stream, result.segmentBytes, BULK_STALL_MS);
    for (;;) {
      const frame = await writer.next();
      const segment = await result.next(frame.body);
      if (segment === null) return;
      writer.send(frame, segment.length, segment.last);
    }
  } finally {
    await result.close();
  }
}

function say(stream: Duplex, answer: BulkAnswer): void {
  if (!stream.destroyed) stream.write(encodeAnswer(answer));
}

/** Waits until the peer closes, so that it receives the last bytes. Whatever it still sends is discarded. */
async function closedByPeer(stream: Duplex): Promise<void> {
  if (stream.destroyed) return;
  stream.removeAllListeners('data').on('data', () => undefined);
  stream.resume();
  await new Promise<void>((resolve) => {
    const patience = () => (stream.writableLength > 0 ? BULK_STALL_MS : CLOSE_LIMIT_MS);
    const timer = setTimeout(resolve, patience());
    const done = () => {
      clearTimeout(timer);
      resolve();
    };
    stream.once('end', done).once('close', done).once('error', done);
  });
  stream.destroy();
}
