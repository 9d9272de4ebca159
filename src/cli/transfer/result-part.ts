import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, rm } from 'node:fs/promises';
import { AEAD_TAG_BYTES } from '../../crypto/aead.ts';
import { ByteReader } from '../../crypto/byte-reader.ts';
import { equal } from '../../crypto/bytes.ts';
import { createDigest, type Digest } from '../../crypto/digest.ts';
import { encodeSigningKey, type ParticipantKeys } from '../../crypto/keys.ts';
import { CocosError } from '../../errors.ts';
import type { Receipt } from '../../protocol/receipt.ts';
import { openContentKey, resultSegments } from '../../protocol/result.ts';
import {
  encodeResultHeader,
  RESULT_MAGIC,
  type ResultHeader,
  readResultHeader,
  verifyResultHeader,
} from '../../protocol/result-file.ts';
import { FRAME_HEADER_BYTES, parseFrameHeader } from '../../protocol/segment-frames.ts';
import { SegmentOpener, segmentCount } from '../../protocol/segments.ts';
import { alreadyExists, chunksOf, notWritten } from '../files.ts';
import { IncrementalFsync } from './incremental-fsync.ts';

/** An incomplete result file: its header and its complete segments, each of which has been opened. */
export interface Part {
  readonly file: FileHandle;
  readonly disk: IncrementalFsync;
  readonly header: ResultHeader;
  readonly receipt: Receipt;
  readonly headerBytes: number;
  /** Opens the next segment. */
  readonly opener: SegmentOpener;
  /** Of the plaintext so far. */
  readonly digest: Digest;
  segments: number;
}

/** Neither follows a symbolic link nor waits for the other end of a pipe. */
const FLAGS = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * Resumes with an existing part of the same result, or starts a new one. What an earlier command left is opened again,
 * since anything may have happened to the file in between; it is kept up to the first segment that does not open.
 *
 * @throws CocosError FILE_EXISTS, FILE_UNREADABLE; RESULT_INVALID, CRYPTO_OPEN_FAILED if the agent's answer does not verify
 */
export async function openPart(partFile: string, fresh: ResultHeader, keys: ParticipantKeys): Promise<Part> {
  const receipt = verifyResultHeader(fresh);
  const contentKey = contentKeyOf(fresh, keys);
  await unlinkShared(partFile);
  const file = await open(partFile, FLAGS, 0o600).catch((cause: unknown) => {
    throw isLink(cause) ? notReplaceable(partFile) : notWritten(partFile, cause);
  });
  try {
    const info = await file.stat();
    if (!info.isFile()) throw notReplaceable(partFile);
    const opener = new SegmentOpener(resultSegments({ ...fresh, contentKey }));
    const common = { file, receipt, opener, digest: createDigest() };
    const header = await headerIn(file, info, fresh, contentKey, keys);
    if (header !== null) {
      const headerBytes = encodeResultHeader(header).length;
      const part = { ...common, disk: new IncrementalFsync(file), header, headerBytes, segments: 0 };
      await keepOpened(part, info.size);
      return part;
    }
    await requireReplaceable(partFile, file, info);
    const head = encodeResultHeader(fresh);
    await file.truncate(0);
    await file.write(head, 0, head.length, 0);
    const disk = new IncrementalFsync(file);
    return { ...common, disk, header: fresh, headerBytes: head.length, segments: 0 };
  } catch (thrown) {
    await file.close();
    throw thrown;
  } finally {
    contentKey.fill(0);
  }
}

/** Bytes of the frame of each segment but the last. */
export function frameBytes({ segmentSize }: ResultHeader): number {
  return FRAME_HEADER_BYTES + segmentSize + AEAD_TAG_BYTES;
}

/** Whether two headers carry the same receipt: the content key is sealed anew for each request. */
export function isOfOneResult(one: ResultHeader, other: ResultHeader): boolean {
  return equal(one.receipt, other.receipt) && equal(one.signature, other.signature);
}

function contentKeyOf({ sealedKey, manifestDigest }: ResultHeader, keys: ParticipantKeys): Uint8Array {
  const signing = encodeSigningKey(keys.signing.publicKey);
  return openContentKey(sealedKey, keys.kem.secretKey, signing, manifestDigest);
}

/** The header in a part if it says the same as the fresh one; null for any other file. */
async function headerIn(
  file: FileHandle,
  { size }: Stats,
  fresh: ResultHeader,
  contentKey: Uint8Array,
  keys: ParticipantKeys,
): Promise<ResultHeader | null> {
  if (size === 0) return null;
  try {
    const found = await readResultHeader(new ByteReader(chunksOf(file)));
    const same = encodeResultHeader({ ...found, sealedKey: fresh.sealedKey });
    if (!equal(same, encodeResultHeader(fresh))) return null;
    const foundKey = contentKeyOf(found, keys);
    const isSame = equal(foundKey, contentKey);
    foundKey.fill(0);
    return isSame ? found : null;
  } catch {
    return null;
  }
}

/** Opens what is in the file, up to the first segment that does not open, and cuts off the rest. */
async function keepOpened(part: Part, size: number): Promise<void> {
  const { file, header, headerBytes, opener, digest } = part;
  const length = frameBytes(header);
  const whole = Math.floor((size - headerBytes) / length);
  // The last segment is fetched again: only its length shows whether it is complete.
  const most = Math.min(whole, segmentCount(header.size, header.segmentSize) - 1);
  const frame = Buffer.allocUnsafeSlow(length);
  const plain = Buffer.allocUnsafeSlow(header.segmentSize);
  while (part.segments < most) {
    const { bytesRead } = await file.read(frame, 0, length, headerBytes + part.segments * length);
    const head = parseFrameHeader(frame);
    if (bytesRead !== length || head.last || head.length !== length - FRAME_HEADER_BYTES) break;
    try {
      digest.update(opener.open(frame.subarray(FRAME_HEADER_BYTES), opener.nextIndex, false, plain));
    } catch {
      break;
    }
    part.segments += 1;
  }
  plain.fill(0);
  await file.truncate(headerBytes + part.segments * length);
}

/** Removes one of the two names that a crash in `publishFile` leaves: writing to the part would change the result. */
async function unlinkShared(partFile: string): Promise<void> {
  const links = await lstat(partFile).then(
    ({ nlink }) => nlink,
    () => 0,
  );
  if (links > 1) await rm(partFile);
}

/** Refuses to overwrite a file that is not the beginning of a result file. @throws CocosError FILE_EXISTS */
async function requireReplaceable(partFile: string, file: FileHandle, { size }: Stats): Promise<void> {
  if (size === 0) return;
  const begin = Buffer.alloc(RESULT_MAGIC.length);
  const { bytesRead } = await file.read(begin, 0, begin.length, 0);
  if (!equal(begin.subarray(0, bytesRead), RESULT_MAGIC.subarray(0, bytesRead)))
    throw notReplaceable(partFile);
}

function notReplaceable(partFile: string): CocosError {
  return new CocosError('FILE_EXISTS', `${alreadyExists(partFile)} Move it, or choose another --out.`);
}

function isLink(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'ELOOP';
}
