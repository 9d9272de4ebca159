import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { AEAD_TAG_BYTES } from '../../crypto/aead.ts';
import { createDigest, type Digest, digestNameOf } from '../../crypto/digest.ts';
import { CocosError } from '../../errors.ts';
import { type SealedSegment, SegmentSealer, segmentCount } from '../../protocol/segments.ts';
import { uploadSegments } from '../../protocol/upload.ts';
import { TransferFinished, TransferOpened } from '../../rpc/sealed.ts';
import { keepFreedMemory } from '../../runtime/allocator-tuning.ts';
import type { AgentSession } from './agent-client.ts';
import type { BulkStream } from './bulk-client.ts';
import type { SourceReader, UploadSource } from './upload-source.ts';

/** Plaintext bytes of a segment: from 512 KiB on, larger ones were no faster and cost more when a stream breaks. */
const SEGMENT_BYTES = 512 * 1024;
/** Broken connections in a row, without a segment getting through, that an upload survives. */
const FRUITLESS_ATTEMPTS = 8;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;

export interface UploadRequest {
  readonly input: string;
  readonly source: UploadSource;
  /** What the manifest asks for. */
  readonly digest: string;
  /** Never use the bulk stream. */
  readonly grpcOnly: boolean;
  readonly onProgress: (sent: number) => void;
  readonly onBroken: () => void;
}

/** Sends an input; after a break it goes on with the first segment that the agent does not hold. */
export async function upload(session: AgentSession, request: UploadRequest): Promise<TransferFinished> {
  keepFreedMemory();
  const hash = new SourceHash(request);
  let isBulk = !request.grpcOnly;
  let held = 0;
  for (let fruitless = 0; ; fruitless++) {
    let transferId: string | null = null;
    try {
      const { input, digest, source } = request;
      const opened = await session.call(
        { method: 'transfer.open', ...contentOf(source), input, digest, segmentSize: SEGMENT_BYTES },
        TransferOpened,
      );
      transferId = opened.transferId;
      if (opened.firstSegment > held) fruitless = 0;
      held = opened.firstSegment;
      const carried = await send(session, request, opened, hash, isBulk);
      if (carried) return await session.call({ method: 'transfer.finish', transferId }, TransferFinished);
      isBulk = false;
    } catch (thrown) {
      const error = CocosError.from(thrown);
      if (error.code === 'TRANSFER_DIGEST_MISMATCH' && transferId !== null) {
        await session.call({ method: 'transfer.abort', transferId }, z.null()).catch(() => undefined);
      }
      if (!BROKEN.has(error.code) || fruitless === FRUITLESS_ATTEMPTS) throw error;
      isBulk = !request.grpcOnly;
      request.onBroken();
      await sleep(Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** fruitless));
    }
  }
}

function contentOf({ size, inflatedSize }: UploadSource) {
  return inflatedSize === undefined ? { size } : { size, inflatedSize };
}

/** After these the same sender may come back. */
const BROKEN: ReadonlySet<string> = new Set(['AGENT_UNAVAILABLE', 'DEADLINE_EXCEEDED', 'STREAM_TRUNCATED']);

/** Sends the segments of one attempt; false where the path does not carry a bulk stream. */
async function send(
  session: AgentSession,
  request: UploadRequest,
  opened: TransferOpened,
  hash: SourceHash,
  isBulk: boolean,
): Promise<boolean> {
  const { source, input, digest } = request;
  const { firstSegment, segmentSize, attempt, aead, ticket } = opened;
  const terms = { id: opened.transferId, ...contentOf(source), input, digest, segmentSize, attempt };
  const sealer = new SegmentSealer(uploadSegments(session.channel, aead, terms), firstSegment);
  const stream = isBulk ? await session.bulk({ direction: 'up', ticket, firstSegment }) : null;
  if (isBulk && stream === null) return false;
  const reader = await source.open(firstSegment * segmentSize);
  const sealing: Sealing = { request, sealer, reader, hash, segmentSize };
  try {
    if (stream !== null) await sendBulk(stream, sealing);
    else await session.upload(ticket, sealedSegments(sealing));
  } finally {
    sealer.erase();
    stream?.close();
    await reader.close();
  }
  return true;
}

interface Sealing {
  readonly request: UploadRequest;
  readonly sealer: SegmentSealer;
  readonly reader: SourceReader;
  readonly hash: SourceHash;
  readonly segmentSize: number;
}

/** Reads, hashes and seals the next segment in its place in `memory`. */
async function sealNext(sealing: Sealing, memory: Uint8Array): Promise<SealedSegment> {
  const { sealer, reader, hash, segmentSize, request } = sealing;
  const { size } = request.source;
  const start = sealer.nextIndex * segmentSize;
  const last = sealer.nextIndex === segmentCount(size, segmentSize) - 1;
  const plaintext = memory.subarray(0, Math.min(segmentSize, size - start));
  await reader.fill(plaintext);
  hash.update(start, plaintext);
  // What is not the manifest's input is never complete in the enclave.
  if (last) hash.verify();
  request.onProgress(start + plaintext.length);
  return sealer.seal(plaintext, last, memory.subarray(0, plaintext.length + AEAD_TAG_BYTES));
}

async function sendBulk(stream: BulkStream, sealing: Sealing): Promise<void> {
  const writer = stream.writer(sealing.segmentSize + AEAD_TAG_BYTES);
  // The agent may refuse a segment while others are under way.
  const answered = stream.reader.answer();
  answered.catch(() => undefined);
  try {
    for (let isLast = false; !isLast; ) {
      const frame = await writer.next();
      const { bytes, last } = await sealNext(sealing, frame.body);
      writer.send(frame, bytes.length, last);
      isLast = last;
    }
  } catch (thrown) {
    if (thrown instanceof CocosError && thrown.code !== 'AGENT_UNAVAILABLE') throw thrown;
  }
  await answered;
}

async function* sealedSegments(sealing: Sealing): AsyncGenerator<SealedSegment> {
  for (;;) {
    const memory = new Uint8Array(sealing.segmentSize + AEAD_TAG_BYTES);
    const segment = await sealNext(sealing, memory);
    yield segment;
    if (segment.last) return;
  }
}

/**
 * Holds what is sent against the manifest before its end is sent. Where an upload goes on that another process has
 * begun, the beginning was not seen here, and the enclave alone compares.
 */
class SourceHash {
  private readonly expected: string;
  private readonly digest: Digest;
  private state: 'hashing' | 'known' | 'unknown';

  constructor({ source, digest }: UploadRequest) {
    this.expected = digest;
    this.digest = createDigest(digestNameOf(digest));
    this.state = source.digest === undefined ? 'hashing' : 'known';
  }

  update(position: number, bytes: Uint8Array): void {
    if (this.state !== 'hashing' || position + bytes.length <= this.digest.size) return;
    if (position === this.digest.size) this.digest.update(bytes);
    else this.state = 'unknown';
  }

  /** @throws CocosError TRANSFER_DIGEST_MISMATCH */
  verify(): void {
    if (this.state !== 'hashing') return;
    this.state = 'known';
    const found = this.digest.finish();
    if (found === this.expected) return;
    throw new CocosError('TRANSFER_DIGEST_MISMATCH', 'What was read is not the input of the manifest.', {
      details: { expected: this.expected, found },
    });
  }
}
