import { createReadStream } from 'node:fs';
import { type FileHandle, open, rm, stat } from 'node:fs/promises';
import { AEAD_TAG_BYTES } from '../../crypto/aead.ts';
import { ByteReader } from '../../crypto/byte-reader.ts';
import { equal } from '../../crypto/bytes.ts';
import { encodeSigningKey, type ParticipantKeys } from '../../crypto/keys.ts';
import { CocosError } from '../../errors.ts';
import type { Receipt } from '../../protocol/receipt.ts';
import { openContentKey, resultSegments } from '../../protocol/result.ts';
import {
  encodeResultHeader,
  openResult,
  RESULT_MAGIC,
  type ResultHeader,
  readResultHeader,
  verifyResultHeader,
} from '../../protocol/result-file.ts';
import { FRAME_HEADER_BYTES, writeFrameHeader } from '../../protocol/segment-frames.ts';
import { SegmentOpener, segmentCount } from '../../protocol/segments.ts';
import { ResultOpened } from '../../rpc/sealed.ts';
import { keepFreedMemory } from '../../runtime/allocator-tuning.ts';
import { alreadyExists, notWritten, publishFile } from '../files.ts';
import type { AgentSession } from './agent-client.ts';
import { IncrementalFsync } from './incremental-fsync.ts';
import { NO_BULK, type RetryOptions, retryTransfer } from './retry.ts';

/** The parts of a session that a fetch uses. */
export type ResultSession = Pick<AgentSession, 'call' | 'bulk' | 'download'>;

export interface FetchRequest extends RetryOptions {
  /** Output file. Until the result is complete, it is in a file of the same name with `.part` appended. */
  readonly file: string;
  readonly keys: ParticipantKeys;
  readonly manifestDigest: string;
  readonly onProgress: (received: number, size: number) => void;
}

/**
 * Fetches a result into a file, and resumes an earlier fetch into it. Every segment is opened before it is written, so
 * that a complete file is one that opens.
 *
 * @throws CocosError the agent's; RESULT_INVALID, CRYPTO_OPEN_FAILED if something does not verify; FILE_UNREADABLE;
 * FILE_EXISTS if another program has created the file meanwhile, which names the complete `.part` file
 */
export async function fetchResult(session: ResultSession, request: FetchRequest): Promise<Receipt> {
  keepFreedMemory();
  const partFile = `${request.file}.part`;
  return retryTransfer(request, async ({ isBulk, resumesAt }) => {
    const opened = await session.call({ method: 'result.open' }, ResultOpened);
    const part = await openPart(partFile, headerOf(opened, request.manifestDigest));
    try {
      resumesAt(part.segments);
      if (!(await fetchSegments(session, request, opened.ticket, part, isBulk))) return NO_BULK;
      await part.disk.finish();
    } finally {
      await part.file.close();
    }
    await publishFile(partFile, request.file);
    return part.receipt;
  });
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
  const fresh = headerOf(opened, request.manifestDigest);
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

/** The content key is sealed anew for each request, so only the receipts can be compared. */
function isOfOneResult(one: ResultHeader, other: ResultHeader): boolean {
  return equal(one.receipt, other.receipt) && equal(one.signature, other.signature);
}

/** An incomplete result file: its header and its complete segments. */
interface Part {
  readonly file: FileHandle;
  readonly disk: IncrementalFsync;
  readonly header: ResultHeader;
  readonly receipt: Receipt;
  readonly headerBytes: number;
  segments: number;
}

function headerOf(opened: ResultOpened, manifestDigest: string): ResultHeader {
  return {
    version: 1,
    manifestDigest,
    computationId: opened.computationId,
    aead: opened.aead,
    segmentSize: opened.segmentSize,
    sealedKey: opened.sealedKey,
    receipt: opened.receipt,
    signature: opened.signature,
    agentSigningKey: encodeSigningKey(opened.agentSigningKey),
    size: opened.size,
  };
}

/** Resumes with an existing part of the same result, or starts a new one. @throws CocosError FILE_EXISTS */
async function openPart(partFile: string, fresh: ResultHeader): Promise<Part> {
  const receipt = verifyResultHeader(fresh);
  await unlinkShared(partFile);
  const found = await readPart(partFile, fresh);
  if (found !== null) {
    const file = await open(partFile, 'r+');
    await file.truncate(found.headerBytes + found.segments * frameBytes(fresh));
    return { file, disk: new IncrementalFsync(file), receipt, ...found };
  }
  const head = encodeResultHeader(fresh);
  await requireReplaceable(partFile);
  const file = await open(partFile, 'w', 0o600).catch((cause: unknown) => {
    throw notWritten(partFile, cause);
  });
  await file.write(head, 0, head.length, 0);
  return {
    file,
    disk: new IncrementalFsync(file),
    header: fresh,
    receipt,
    headerBytes: head.length,
    segments: 0,
  };
}

/** Removes one of the two names that a crash in `publishFile` leaves: writing to the part would change the result. */
async function unlinkShared(partFile: string): Promise<void> {
  const links = await stat(partFile).then(
    ({ nlink }) => nlink,
    () => 0,
  );
  if (links > 1) await rm(partFile);
}

/** Refuses to overwrite a file that is not the beginning of a result file. @throws CocosError FILE_EXISTS */
async function requireReplaceable(partFile: string): Promise<void> {
  const file = await open(partFile, 'r').catch(() => null);
  if (file === null) return;
  try {
    const begin = Buffer.alloc(RESULT_MAGIC.length);
    const { bytesRead } = await file.read(begin, 0, begin.length, 0);
    if (equal(begin.subarray(0, bytesRead), RESULT_MAGIC.subarray(0, bytesRead))) return;
  } finally {
    await file.close();
  }
  throw new CocosError('FILE_EXISTS', `${alreadyExists(partFile)} Move it, or choose another --out.`);
}

async function readPart(
  partFile: string,
  fresh: ResultHeader,
): Promise<Pick<Part, 'header' | 'headerBytes' | 'segments'> | null> {
  const stream = createReadStream(partFile);
  try {
    const header = await readResultHeader(new ByteReader(stream));
    if (!isOfOneResult(header, fresh)) return null;
    const headerBytes = encodeResultHeader(header).length;
    const file = await open(partFile, 'r');
    const { size } = await file.stat().finally(() => file.close());
    const whole = Math.floor((size - headerBytes) / frameBytes(header));
    // The last segment is fetched again: only its length shows whether it is complete.
    const segments = Math.min(whole, segmentCount(header.size, header.segmentSize) - 1);
    return { header, headerBytes, segments };
  } catch {
    return null;
  } finally {
    stream.destroy();
  }
}

function frameBytes({ segmentSize }: ResultHeader): number {
  return FRAME_HEADER_BYTES + segmentSize + AEAD_TAG_BYTES;
}

/** Fetches the missing segments. False if the path does not carry a bulk stream. */
async function fetchSegments(
  session: ResultSession,
  request: FetchRequest,
  ticket: Uint8Array,
  part: Part,
  isBulk: boolean,
): Promise<boolean> {
  const { header } = part;
  const firstSegment = part.segments;
  const { secretKey } = request.keys.kem;
  const signing = encodeSigningKey(request.keys.signing.publicKey);
  const contentKey = openContentKey(header.sealedKey, secretKey, signing, header.manifestDigest);
  const opener = new SegmentOpener(resultSegments({ ...header, contentKey }), firstSegment);
  contentKey.fill(0);
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
      opener.open(bytes, opener.nextIndex, last, plain);
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
    opener.erase();
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
  if (bytesWritten !== head.length + bytes.length)
    throw new CocosError('FILE_UNREADABLE', `Cannot write all of ${file}.part: the disk may be full.`);
  part.disk.wrote(bytesWritten);
  part.segments += 1;
  onProgress(Math.min(part.header.size, part.segments * part.header.segmentSize), part.header.size);
}
