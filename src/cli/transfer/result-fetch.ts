import { createReadStream } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
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
  type ResultHeader,
  readResultHeader,
  verifyResultHeader,
} from '../../protocol/result-file.ts';
import { FRAME_HEADER_BYTES, writeFrameHeader } from '../../protocol/segment-frames.ts';
import { SegmentOpener, segmentCount } from '../../protocol/segments.ts';
import { ResultOpened } from '../../rpc/sealed.ts';
import { keepFreedMemory } from '../../runtime/allocator-tuning.ts';
import type { AgentSession } from './agent-client.ts';
import { IncrementalFsync } from './incremental-fsync.ts';

/** Broken connections in a row, without a segment getting through, that a download survives. */
const FRUITLESS_ATTEMPTS = 8;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
/** After these the same consumer may come back. */
const BROKEN: ReadonlySet<string> = new Set(['AGENT_UNAVAILABLE', 'DEADLINE_EXCEEDED', 'STREAM_TRUNCATED']);

export interface FetchRequest {
  /** Where the result goes; until it is whole it lies beside that, with `.part` at its end. */
  readonly file: string;
  readonly keys: ParticipantKeys;
  readonly manifestDigest: string;
  readonly grpcOnly: boolean;
  readonly onProgress: (received: number, size: number) => void;
  readonly onBroken: () => void;
}

/**
 * Fetches a result into a file, from where an earlier fetch into it has broken off. Every segment is opened before
 * it is kept, so that a file which is there is one that opens.
 * @throws CocosError the agent's; RESULT_INVALID, CRYPTO_OPEN_FAILED for what does not verify; FILE_UNREADABLE
 */
export async function fetchResult(session: AgentSession, request: FetchRequest): Promise<Receipt> {
  keepFreedMemory();
  const partFile = `${request.file}.part`;
  let isBulk = !request.grpcOnly;
  let held = -1;
  for (let fruitless = 0; ; fruitless++) {
    try {
      const opened = await session.call({ method: 'result.open' }, ResultOpened);
      const part = await openPart(partFile, headerOf(opened, request.manifestDigest));
      try {
        if (part.segments > held) fruitless = 0;
        held = part.segments;
        const done = await fetchSegments(session, request, opened.ticket, part, isBulk);
        if (!done) {
          isBulk = false;
          continue;
        }
        await part.disk.finish();
      } finally {
        await part.file.close();
      }
      await rename(partFile, request.file);
      return part.receipt;
    } catch (thrown) {
      const error = CocosError.from(thrown);
      if (!BROKEN.has(error.code) || fruitless === FRUITLESS_ATTEMPTS) throw error;
      isBulk = !request.grpcOnly;
      request.onBroken();
      await sleep(Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** fruitless));
    }
  }
}

/**
 * The receipt of the file that is there when it is this consumer's result, whole: then only its delivery is left to
 * confirm. Null when it is anything else.
 * @throws CocosError the agent's; RESULT_INVALID when what the agent says of the result does not verify
 */
export async function fetchedBefore(session: AgentSession, request: FetchRequest): Promise<Receipt | null> {
  const header = await openedWhole(request).catch(() => null);
  if (header === null) return null;
  const opened = await session.call({ method: 'result.open' }, ResultOpened);
  const fresh = headerOf(opened, request.manifestDigest);
  const receipt = verifyResultHeader(fresh);
  return isOfOneResult(header, fresh) ? receipt : null;
}

/** The header of a result file that opens to its end with this consumer's key. @throws CocosError when it does not */
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

/** The content key is sealed anew each time; what it is sealed for is the receipt's result. */
function isOfOneResult(one: ResultHeader, other: ResultHeader): boolean {
  return equal(one.receipt, other.receipt) && equal(one.signature, other.signature);
}

/** A result file in the making: its header and the segments that it holds whole. */
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

/** Goes on with the part of the same result that is there, and begins anew otherwise. */
async function openPart(partFile: string, fresh: ResultHeader): Promise<Part> {
  const receipt = verifyResultHeader(fresh);
  const found = await readPart(partFile, fresh);
  if (found !== null) {
    const file = await open(partFile, 'r+');
    await file.truncate(found.headerBytes + found.segments * frameBytes(fresh));
    return { file, disk: new IncrementalFsync(file), receipt, ...found };
  }
  const head = encodeResultHeader(fresh);
  const file = await open(partFile, 'w', 0o600).catch((cause: unknown) => {
    throw new CocosError('FILE_UNREADABLE', `${partFile} cannot be written.`, { cause });
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
    // The last segment is fetched again: only its length tells whether it is whole.
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

/** Fetches what is missing; false where the path does not carry a bulk stream. */
async function fetchSegments(
  session: AgentSession,
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
  // One segment is written while the next one comes; its memory is used again by the one after that.
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
    throw new CocosError('FILE_UNREADABLE', `${file} cannot be written to its end.`);
  part.disk.wrote(bytesWritten);
  part.segments += 1;
  onProgress(Math.min(part.header.size, part.segments * part.header.segmentSize), part.header.size);
}
