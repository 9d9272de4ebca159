import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { AEAD_TAG_BYTES } from '../../crypto/aead.ts';
import { ByteReader } from '../../crypto/byte-reader.ts';
import { encodeSigningKey, type ParticipantKeys } from '../../crypto/keys.ts';
import { CocosError } from '../../errors.ts';
import type { Receipt } from '../../protocol/receipt.ts';
import { encodeAudit, type ResultAudit } from '../../protocol/result-audit.ts';
import {
  encodeResultHeader,
  openResult,
  type ResultHeader,
  readResultHeader,
  verifyResultHeader,
} from '../../protocol/result-file.ts';
import { FRAME_HEADER_BYTES, writeFrameHeader } from '../../protocol/segment-frames.ts';
import { sealedSize, segmentCount } from '../../protocol/segments.ts';
import { ResultOpened } from '../../rpc/sealed.ts';
import { keepFreedMemory } from '../../runtime/allocator-tuning.ts';
import { publishFile } from '../files.ts';
import type { AgentSession } from './agent-client.ts';
import { frameBytes, isOfOneResult, openPart, type Part } from './result-part.ts';
import { NO_BULK, type RetryOptions, retryTransfer } from './retry.ts';

/** The parts of a session that a fetch uses. */
export type ResultSession = Pick<AgentSession, 'call' | 'bulk' | 'download'>;

export interface FetchRequest extends RetryOptions {
  /** Output file. Until the result is complete, it is in a file of the same name with `.part` appended. */
  readonly file: string;
  readonly keys: ParticipantKeys;
  readonly manifestDigest: string;
  /** The key that the evidence attests, `ed25519:…`. */
  readonly agentSigningKey: string;
  /** What the enclave was judged by. */
  readonly audit: ResultAudit;
  readonly onProgress: (received: number, size: number) => void;
}

/**
 * Fetches a result into a file, and resumes an earlier fetch into it. Every segment is opened before it is written, and
 * again when it is kept from an earlier fetch, so that a complete file is one that opens.
 *
 * @throws CocosError the agent's; RESULT_INVALID, CRYPTO_OPEN_FAILED if something does not verify; FILE_UNREADABLE;
 * FILE_EXISTS if another program has created the file meanwhile, which names the complete `.part` file
 */
export async function fetchResult(session: ResultSession, request: FetchRequest): Promise<Receipt> {
  keepFreedMemory();
  const partFile = `${request.file}.part`;
  return retryTransfer(request, async ({ isBulk, resumesAt }) => {
    const opened = await session.call({ method: 'result.open' }, ResultOpened);
    const part = await openPart(partFile, headerOf(opened, request), request.keys);
    try {
      resumesAt(part.segments);
      if (!(await fetchSegments(session, request, opened.ticket, part, isBulk))) return NO_BULK;
      await requireDigest(partFile, part);
      await writeAudit(request, part);
      await part.disk.finish();
    } finally {
      part.opener.erase();
      await part.file.close();
    }
    await publishFile(partFile, request.file);
    return part.receipt;
  });
}

/** Ends the file with the audit record. */
async function writeAudit({ audit, file }: FetchRequest, part: Part): Promise<void> {
  const { header, headerBytes } = part;
  const count = segmentCount(header.size, header.segmentSize);
  const position = headerBytes + count * FRAME_HEADER_BYTES + sealedSize(header.size, header.segmentSize);
  const bytes = encodeAudit(audit, encodeResultHeader(header));
  const { bytesWritten } = await part.file.write(bytes, 0, bytes.length, position);
  if (bytesWritten !== bytes.length) throw diskFull(file);
}

/**
 * Every consumer knows the content key, so segments that open prove only that a consumer or the enclave sealed them.
 *
 * @throws CocosError RESULT_INVALID, after removing the file, since a later fetch would resume with its segments
 */
async function requireDigest(partFile: string, { digest, receipt }: Part): Promise<void> {
  if (digest.size === receipt.resultSize && digest.finish() === receipt.resultDigest) return;
  await rm(partFile);
  throw new CocosError(
    'RESULT_INVALID',
    'The fetched result does not have the size and digest in its receipt: it was replaced on the way. Fetch it again.',
  );
}

/**
 * The receipt of an existing file that is this consumer's complete result, so that only the delivery must be confirmed.
 * Null for any other file.
 *
 * @throws CocosError the agent's; RESULT_INVALID if the agent's receipt does not verify
 */
export async function fetchedBefore(session: ResultSession, request: FetchRequest): Promise<Receipt | null> {
  const header = await openedWhole(request).catch(() => null);
  if (header === null) return null;
  const opened = await session.call({ method: 'result.open' }, ResultOpened);
  const fresh = headerOf(opened, request);
  const receipt = verifyResultHeader(fresh);
  return isOfOneResult(header, fresh) ? receipt : null;
}

/** The header of a result file, all of which opens with this consumer's key. @throws CocosError if it does not */
async function openedWhole({ file, keys }: FetchRequest): Promise<ResultHeader> {
  const stream = createReadStream(file);
  try {
    const reader = new ByteReader(stream);
    const header = await readResultHeader(reader);
    const consumer = { kemSecretKey: keys.kem.secretKey, signing: encodeSigningKey(keys.signing.publicKey) };
    for await (const chunk of openResult(header, reader, consumer)) chunk.fill(0);
    return header;
  } finally {
    stream.destroy();
  }
}

/** @throws CocosError RESULT_INVALID if the receipt is signed by another key than the attested one */
function headerOf(opened: ResultOpened, request: FetchRequest): ResultHeader {
  const agentSigningKey = encodeSigningKey(opened.agentSigningKey);
  if (agentSigningKey !== request.agentSigningKey) {
    throw new CocosError(
      'RESULT_INVALID',
      'The receipt is signed by another key than the one that the evidence attests.',
      { details: { attested: request.agentSigningKey, found: agentSigningKey } },
    );
  }
  return {
    version: 2,
    recipient: encodeSigningKey(request.keys.signing.publicKey),
    manifestDigest: request.manifestDigest,
    computationId: opened.computationId,
    aead: opened.aead,
    segmentSize: opened.segmentSize,
    sealedKey: opened.sealedKey,
    receipt: opened.receipt,
    signature: opened.signature,
    agentSigningKey,
    size: opened.size,
  };
}

/** Fetches the missing segments. False if the path does not carry a bulk stream. */
async function fetchSegments(
  session: ResultSession,
  request: FetchRequest,
  ticket: Uint8Array,
  part: Part,
  isBulk: boolean,
): Promise<boolean> {
  const { header, opener, digest } = part;
  const firstSegment = part.segments;
  const segmentBytes = header.segmentSize + AEAD_TAG_BYTES;
  const stream = isBulk ? await session.bulk({ direction: 'down', ticket, firstSegment }) : null;
  if (isBulk && stream === null) return false;
  const segments =
    stream === null ? session.download(ticket, firstSegment) : stream.reader.segments(segmentBytes);
  const scratch = Buffer.allocUnsafeSlow(header.segmentSize);
  // One segment is written while the next one arrives; the one after that reuses its memory.
  let written = Promise.resolve();
  try {
    for await (const { bytes, last } of segments) {
      const plain = scratch.subarray(0, Math.max(0, bytes.length - AEAD_TAG_BYTES));
      digest.update(opener.open(bytes, opener.nextIndex, last, plain));
      await written;
      written = writeSegment(request, part, bytes, last);
      written.catch(() => undefined);
    }
    opener.finish();
    await written;
    return true;
  } finally {
    await written.catch(() => undefined);
    scratch.fill(0);
    stream?.close();
  }
}

async function writeSegment(
  { file, onProgress }: FetchRequest,
  part: Part,
  bytes: Uint8Array,
  last: boolean,
): Promise<void> {
  const head = new Uint8Array(FRAME_HEADER_BYTES);
  writeFrameHeader(head, bytes.length, last);
  const position = part.headerBytes + part.segments * frameBytes(part.header);
  const { bytesWritten } = await part.file.writev([head, bytes], position);
  if (bytesWritten !== head.length + bytes.length) throw diskFull(file);
  part.disk.wrote(bytesWritten);
  part.segments += 1;
  onProgress(Math.min(part.header.size, part.segments * part.header.segmentSize), part.header.size);
}

function diskFull(file: string): CocosError {
  return new CocosError('FILE_UNREADABLE', `Cannot write all of ${file}.part: the disk may be full.`);
}
