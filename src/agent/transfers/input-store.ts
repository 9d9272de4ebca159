import { randomBytes } from 'node:crypto';
import { chmod, type FileHandle, mkdir, open, rename, rm, statfs } from 'node:fs/promises';
import path from 'node:path';
import { AEAD_TAG_BYTES } from '../../crypto/aead.ts';
import { createDigest, digestNameOf } from '../../crypto/digest.ts';
import { CocosError } from '../../errors.ts';
import { ALGORITHM_INPUT } from '../../machines/manifest.ts';
import { SegmentOpener } from '../../protocol/segments.ts';
import { type UploadTerms, uploadSegments } from '../../protocol/upload.ts';
import type { InputsPort } from '../ports.ts';
import type { Session } from '../sessions/sessions.ts';
import { Inflater } from './inflater.ts';
import { type Quotas, type Reservation, requireQuota } from './quota-reservations.ts';
import { Tickets } from './tickets.ts';

/** Bytes that must stay free on the work folder's file system. */
const RESERVE_BYTES = 32 * 1024 * 1024;

/** What a sender declares. */
export interface NewUpload {
  readonly input: string;
  /** Plaintext bytes. */
  readonly size: number;
  /** Bytes of the content, if the plaintext is its gzip. */
  readonly inflatedSize?: number | undefined;
  /** Of the content. */
  readonly digest: string;
  /** Plaintext bytes of a segment. */
  readonly segmentSize: number;
}

/** An input's file while segments arrive: its running digest and the key of the present attempt. */
interface Receiving {
  readonly file: FileHandle;
  readonly hash: ReturnType<typeof createDigest>;
  opener: SegmentOpener;
  /** Settles with the last write. A failed write is final. */
  written: Promise<void>;
  /** Null if the plaintext is the content. */
  inflater: Inflater | null;
}

/** All that the agent holds of one input's latest transfer, beside the machine that owns the transfer's state. */
export interface InputRecord extends NewUpload {
  /** Id of the transfer. */
  readonly id: string;
  readonly participant: string;
  /** Counts the sessions that opened the transfer. Each attempt has a separate key; only the latest may continue. */
  attempt: number;
  /** Segments received. */
  segments: number;
  /** Bytes decrypted, and written or queued for writing. */
  received: number;
  /** Bytes of the content that these produced. */
  kept: number;
  /** What the input occupies of the quotas: its size from `open` on, nothing once `released`. */
  claim: 'open' | 'committed' | 'released';
  /** Null before the file exists, and once the input is committed or released. */
  receiving: Receiving | null;
  /** Why the transfer was refused, for its sender alone. */
  refusal: CocosError | null;
  /** Each grants one stream of segments in one attempt. */
  readonly tickets: Tickets<number>;
}

/** Inputs while and after they arrive, in memory inside the enclave. There is one record for each input. */
export class InputStore implements InputsPort {
  private readonly directory: string;
  private readonly records = new Map<string, InputRecord>();

  constructor(workDir: string) {
    this.directory = path.join(workDir, 'inputs');
  }

  get algorithmFile(): string {
    return this.committedFile(ALGORITHM_INPUT);
  }

  committedFile(input: string): string {
    return path.join(this.directory, input === ALGORITHM_INPUT ? 'algorithm' : `dataset-${input}`);
  }

  unpackedFolder(input: string): string {
    return path.join(this.directory, `folder-${input}`);
  }

  all(): readonly InputRecord[] {
    return [...this.records.values()];
  }

  find(id: string): InputRecord | undefined {
    return this.all().find((record) => record.id === id);
  }

  /** The record of this input's latest transfer. */
  ofInput(input: string): InputRecord | undefined {
    return this.records.get(input);
  }

  /**
   * Reserves room for an input; `begin` creates its file. A released record of the same input is replaced.
   *
   * @throws CocosError INPUT_NOT_EXPECTED when the input is arriving or has arrived; QUOTA_EXCEEDED; LIMIT_EXCEEDED
   * when the enclave has too little memory left
   */
  async reserve(
    participant: string,
    terms: NewUpload,
    quotas: Quotas,
  ): Promise<{ readonly record: InputRecord; readonly replaced: InputRecord | undefined }> {
    await mkdir(this.directory, { recursive: true });
    // Searchable but not listable: the sandbox's user opens its own files by name.
    await chmod(this.directory, 0o711);
    const { bavail, bsize } = await statfs(this.directory);
    const replaced = this.records.get(terms.input);
    if (replaced !== undefined && replaced.claim !== 'released') throw notExpected(terms.input);
    const reservation = { participant, size: contentSize(terms) };
    requireQuota(this.all().flatMap(reservationOf), reservation, quotas, bavail * bsize - RESERVE_BYTES);
    const record: InputRecord = {
      ...terms,
      ...{ id: randomBytes(16).toString('hex'), participant, attempt: 1, tickets: new Tickets() },
      ...{ segments: 0, received: 0, kept: 0, claim: 'open', receiving: null, refusal: null },
    };
    this.records.set(terms.input, record);
    return { record, replaced };
  }

  /** Creates the file of a reserved input. @throws CocosError INPUT_NOT_EXPECTED when the input was released meanwhile */
  async begin(record: InputRecord, session: Session): Promise<void> {
    const file = await open(this.partFile(record), 'wx', 0o600);
    if (record.claim !== 'open') {
      await file.close();
      await rm(this.partFile(record), { force: true });
      throw notExpected(record.input);
    }
    record.receiving = {
      file,
      hash: createDigest(digestNameOf(record.digest)),
      opener: openerOf(session, record, 0),
      written: Promise.resolve(),
      inflater:
        record.inflatedSize === undefined
          ? null
          : new Inflater(record.inflatedSize, (bytes) => writeFully(file, bytes, account(record, bytes))),
    };
  }

  /** Continues a transfer under the keys of another session. @throws CocosError TRANSFER_NOT_FOUND */
  resume(record: InputRecord, session: Session): void {
    const receiving = requireReceiving(record);
    record.attempt += 1;
    receiving.opener.erase();
    receiving.opener = openerOf(session, record, record.segments);
  }

  /**
   * Decrypts one segment in its own memory and queues it for writing. The caller may reuse the memory once the next
   * segment was taken.
   *
   * @throws CocosError CRYPTO_OPEN_FAILED, STREAM_TRAILING, TRANSFER_SIZE_MISMATCH, TRANSFER_ENCODING,
   * TRANSFER_NOT_FOUND, or LIMIT_EXCEEDED when an earlier segment could not be written.
   */
  async take(record: InputRecord, index: number, last: boolean, ciphertext: Uint8Array): Promise<void> {
    const receiving = requireReceiving(record);
    const plaintext = ciphertext.subarray(0, Math.max(0, ciphertext.length - AEAD_TAG_BYTES));
    const bytes = receiving.opener.open(ciphertext, index, last, plaintext);
    record.segments = receiving.opener.nextIndex;
    if (record.received + bytes.length > record.size) {
      throw new CocosError(
        'TRANSFER_SIZE_MISMATCH',
        `The sender declared ${record.size} bytes for '${record.input}' and sent more.`,
      );
    }
    record.received += bytes.length;
    if (receiving.inflater !== null) {
      await receiving.inflater.push(bytes);
      if (last) await receiving.inflater.end();
      return;
    }
    const position = account(record, bytes);
    const before = receiving.written;
    receiving.written = before.then(() => writeFully(receiving.file, bytes, position));
    receiving.written.catch(() => undefined);
    await (last ? receiving.written : before);
  }

  /** Compares the received content with the declaration and keeps it. @throws CocosError TRANSFER_* */
  async commit(record: InputRecord): Promise<void> {
    const receiving = requireReceiving(record);
    await receiving.written;
    for (const [received, declared] of [
      [record.received, record.size],
      [record.kept, contentSize(record)],
    ]) {
      if (received === declared) continue;
      throw new CocosError(
        'TRANSFER_SIZE_MISMATCH',
        `The sender declared ${declared} bytes for '${record.input}'; ${received} arrived.`,
      );
    }
    const digest = receiving.hash.finish();
    if (digest !== record.digest) {
      throw new CocosError(
        'TRANSFER_DIGEST_MISMATCH',
        `The manifest expects the digest ${record.digest} for '${record.input}'; the received bytes have ${digest}.`,
        { details: { expected: record.digest, found: digest } },
      );
    }
    record.receiving = null;
    receiving.opener.erase();
    await receiving.file.close();
    await rename(this.partFile(record), this.committedFile(record.input));
    record.claim = 'committed';
  }

  /** Deletes what arrived of a transfer that is not committed, and gives its room back. */
  async release(record: InputRecord): Promise<void> {
    if (record.claim === 'committed') return;
    record.claim = 'released';
    const { receiving } = record;
    record.receiving = null;
    if (receiving !== null) {
      receiving.opener.erase();
      receiving.inflater?.close();
      await receiving.written.catch(() => undefined);
      await receiving.file.close().catch(() => undefined);
    }
    await rm(this.partFile(record), { force: true });
  }

  /** Deletes the bytes of all inputs. */
  async clear(): Promise<void> {
    for (const record of this.all()) {
      await this.release(record);
      record.claim = 'released';
    }
    await rm(this.directory, { recursive: true, force: true });
  }

  private partFile(record: InputRecord): string {
    return path.join(this.directory, `part-${record.id}`);
  }
}

/** Bytes of the content. */
export function contentSize({ size, inflatedSize = size }: NewUpload): number {
  return inflatedSize;
}

function reservationOf(record: InputRecord): Reservation[] {
  if (record.claim === 'released') return [];
  const size = contentSize(record);
  const isOpen = record.claim === 'open';
  return [{ participant: record.participant, size, isOpen, remaining: size - record.kept }];
}

/** Counts the next bytes of the content. Returns their position in the file. */
function account(record: InputRecord, bytes: Uint8Array): number {
  const position = record.kept;
  record.receiving?.hash.update(bytes);
  record.kept += bytes.length;
  return position;
}

function requireReceiving(record: InputRecord): Receiving {
  if (record.receiving !== null) return record.receiving;
  throw new CocosError(
    'TRANSFER_NOT_FOUND',
    `The transfer of '${record.input}' has ended; open a new one if the input is still expected.`,
  );
}

function notExpected(input: string): CocosError {
  return new CocosError('INPUT_NOT_EXPECTED', `The input '${input}' has arrived or is being sent already.`);
}

function openerOf(session: Session, terms: UploadTerms, startIndex: number): SegmentOpener {
  const parameters = uploadSegments(session.channel, session.aead, terms);
  const opener = new SegmentOpener(parameters, startIndex);
  parameters.key.fill(0);
  return opener;
}

async function writeFully(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  try {
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await file.write(bytes, at, bytes.length - at, position + at);
      at += bytesWritten;
    }
  } catch (cause) {
    throw new CocosError(
      'LIMIT_EXCEEDED',
      'The enclave has no memory left for the input. Create the enclave with more memory.',
      { cause },
    );
  }
}
