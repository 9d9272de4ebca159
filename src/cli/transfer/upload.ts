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
import { NO_BULK, type RetryOptions, retryTransfer } from './retry.ts';
import type { SourceReader, UploadSource } from './upload-source.ts';

/** Plaintext bytes of a segment. Larger ones were measured to be no faster, and lose more when a stream breaks. */
const SEGMENT_BYTES = 512 * 1024;

export interface UploadRequest extends RetryOptions {
  readonly input: string;
  readonly source: UploadSource;
  /** Expected by the manifest. */
  readonly digest: string;
  readonly onProgress: (sent: number) => void;
}

/** Sends an input. After a break it resumes at the first segment that the agent does not hold. */
export async function upload(session: AgentSession, request: UploadRequest): Promise<TransferFinished> {
  keepFreedMemory();
  const hash = new SourceHash(request);
  const { input, digest, source } = request;
  return retryTransfer(request, async ({ isBulk, resumesAt }) => {
    const opened = await session.call(
      { method: 'transfer.open', ...contentOf(source), input, digest, segmentSize: SEGMENT_BYTES },
      TransferOpened,
    );
    const { transferId } = opened;
    resumesAt(opened.firstSegment);
    try {
      if (!(await send(session, request, opened, hash, isBulk))) return NO_BULK;
      return await session.call({ method: 'transfer.finish', transferId }, TransferFinished);
    } catch (thrown) {
      if (CocosError.from(thrown).code === 'TRANSFER_DIGEST_MISMATCH') {
        await session.call({ method: 'transfer.abort', transferId }, z.null()).catch(() => undefined);
      }
      throw thrown;
    }
  });
}

function contentOf({ size, inflatedSize }: UploadSource) {
  return inflatedSize === undefined ? { size } : { size, inflatedSize };
}

/** Sends the segments of one attempt; False if the path does not carry a bulk stream. */
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

/** Reads, hashes and seals the next segment in place, in `memory`. */
async function sealNext(sealing: Sealing, memory: Uint8Array): Promise<SealedSegment> {
  const { sealer, reader, hash, segmentSize, request } = sealing;
  const { size } = request.source;
  const start = sealer.nextIndex * segmentSize;
  const last = sealer.nextIndex === segmentCount(size, segmentSize) - 1;
  const plaintext = memory.subarray(0, Math.min(segmentSize, size - start));
  await reader.fill(plaintext);
  hash.update(start, plaintext);
  // Before the last segment is sealed, so that a wrong input is never complete in the enclave.
  if (last) hash.verify();
  request.onProgress(start + plaintext.length);
  return sealer.seal(plaintext, last, memory.subarray(0, plaintext.length + AEAD_TAG_BYTES));
}

async function sendBulk(stream: BulkStream, sealing: Sealing): Promise<void> {
  const writer = stream.writer(sealing.segmentSize + AEAD_TAG_BYTES);
  // The agent may refuse a segment while later ones are still being sent.
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
 * Compares the sent bytes with the digest in the manifest before the last segment is sent. When this process resumes the
 * upload of another one, it does not see the beginning, and only the enclave compares.
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
    throw new CocosError(
      'TRANSFER_DIGEST_MISMATCH',
      'The file changed, or it is not the input in the manifest: its digest differs.',
      {
        details: { expected: this.expected, found },
      },
    );
  }
}
