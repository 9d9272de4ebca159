import { randomBytes } from 'node:crypto';
import { chmod, type FileHandle, mkdir, open, rename, rm, statfs } from 'node:fs/promises';
import path from 'node:path';
import { AEAD_TAG_BYTES } from '../../crypto/aead.ts';
import { createDigest, digestNameOf } from '../../crypto/digest.ts';
import { CocosError } from '../../errors.ts';
import { ALGORITHM_INPUT } from '../../machines/manifest.ts';
import { SegmentOpener } from '../../protocol/segments.ts';
import { type UploadTerms, uploadSegments } from '../../protocol/upload.ts';
import type { Session } from '../sessions/sessions.ts';
import { Inflater } from './inflater.ts';
import { QuotaReservations, type Quotas } from './quota-reservations.ts';

/** Room that must stay free on the work folder's file system. */
const RESERVE_BYTES = 32 * 1024 * 1024;

/** What a sender declares. */
export interface NewUpload {
  readonly input: string;
  /** Plaintext bytes. */
  readonly size: number;
  /** Bytes of the content where the plaintext is its gzip. */
  readonly inflatedSize?: number | undefined;
  /** Of the content. */
  readonly digest: string;
  /** Plaintext bytes of a segment. */
  readonly segmentSize: number;
}

/** One upload: the file of its content, its running digest, and the key of its present attempt. */
export interface Upload extends NewUpload {
  readonly id: string;
  readonly participant: string;
  readonly partFile: string;
  readonly file: FileHandle;
  readonly hash: ReturnType<typeof createDigest>;
  /** Bytes that were opened, hashed, and written or on their way to the file. */
  received: number;
  /** Bytes of the content that came of them. */
  kept: number;
  attempt: number;
  opener: SegmentOpener;
  /** Settles with the last write; rejects for good when one fails. */
  written: Promise<void>;
  /** Null where the plaintext is the content. */
  inflater: Inflater | null;
}

/** Where inputs lie while and after they arrive: in memory, inside the enclave. */
export class InputStore {
  private readonly directory: string;
  private readonly uploads = new Map<string, Upload>();
  private readonly reservations = new QuotaReservations();

  constructor(workDir: string) {
    this.directory = path.join(workDir, 'inputs');
  }

  get algorithmFile(): string {
    return this.committedFile(ALGORITHM_INPUT);
  }

  committedFile(input: string): string {
    return path.join(this.directory, input === ALGORITHM_INPUT ? 'algorithm' : `dataset-${input}`);
  }

  find(id: string): Upload | undefined {
    return this.uploads.get(id);
  }

  /** The upload of this input that is still under way, if any. */
  ofInput(input: string): Upload | undefined {
    return [...this.uploads.values()].find((upload) => upload.input === input);
  }

  /** @throws CocosError QUOTA_EXCEEDED; LIMIT_EXCEEDED when the enclave cannot take `size` bytes more. */
  async create(session: Session, terms: NewUpload, quotas: Quotas): Promise<Upload> {
    await mkdir(this.directory, { recursive: true });
    // Searchable, not listable: the sandbox's user reaches its own files by name.
    await chmod(this.directory, 0o711);
    const { bavail, bsize } = await statfs(this.directory);
    const id = randomBytes(16).toString('hex');
    const { participant } = session;
    this.reservations.reserve(
      id,
      { participant, size: terms.inflatedSize ?? terms.size },
      quotas,
      bavail * bsize - RESERVE_BYTES,
    );
    try {
      return await this.begin(id, session, terms);
    } catch (thrown) {
      this.reservations.release(id);
      throw thrown;
    }
  }

  private async begin(id: string, session: Session, terms: NewUpload): Promise<Upload> {
    const partFile = path.join(this.directory, `part-${id}`);
    const upload: Upload = {
      ...terms,
      id,
      participant: session.participant,
      partFile,
      file: await open(partFile, 'wx', 0o600),
      hash: createDigest(digestNameOf(terms.digest)),
      received: 0,
      kept: 0,
      attempt: 1,
      opener: openerOf(session, { ...terms, id, attempt: 1 }, 0),
      written: Promise.resolve(),
      inflater: null,
    };
    if (terms.inflatedSize !== undefined) {
      upload.inflater = new Inflater(terms.inflatedSize, (bytes) =>
        writeFully(upload.file, bytes, this.account(upload, bytes)),
      );
    }
    this.uploads.set(id, upload);
    return upload;
  }

  /** Goes on with an upload under the keys of the present session. */
  resume(upload: Upload, session: Session): void {
    upload.attempt += 1;
    const { nextIndex } = upload.opener;
    upload.opener.erase();
    upload.opener = openerOf(session, upload, nextIndex);
  }

  /**
   * Opens one segment in its own memory and lets it be written: the memory is free again when the next segment has
   * been taken.
   *
   * @throws CocosError CRYPTO_OPEN_FAILED, STREAM_TRAILING, TRANSFER_SIZE_MISMATCH, TRANSFER_ENCODING, or LIMIT_EXCEEDED when an
   * earlier segment could not be written.
   */
  async take(upload: Upload, index: number, last: boolean, ciphertext: Uint8Array): Promise<void> {
    const room = ciphertext.subarray(0, Math.max(0, ciphertext.length - AEAD_TAG_BYTES));
    const bytes = upload.opener.open(ciphertext, index, last, room);
    if (upload.received + bytes.length > upload.size) {
      throw new CocosError('TRANSFER_SIZE_MISMATCH', `More bytes came than the ${upload.size} declared.`);
    }
    upload.received += bytes.length;
    if (upload.inflater !== null) {
      await upload.inflater.push(bytes);
      if (last) await upload.inflater.end();
      return;
    }
    const position = this.account(upload, bytes);
    const before = upload.written;
    upload.written = before.then(() => writeFully(upload.file, bytes, position));
    upload.written.catch(() => undefined);
    await (last ? upload.written : before);
  }

  /** Takes the next bytes of the content into account. Where they go in the file. */
  private account(upload: Upload, bytes: Uint8Array): number {
    const position = upload.kept;
    upload.hash.update(bytes);
    upload.kept += bytes.length;
    this.reservations.arrived(upload.id, bytes.length);
    return position;
  }

  /** Compares what came with what was declared, and keeps it. @throws CocosError TRANSFER_* */
  async commit(upload: Upload): Promise<void> {
    await upload.written;
    const { inflatedSize = upload.size } = upload;
    for (const [came, declared] of [
      [upload.received, upload.size],
      [upload.kept, inflatedSize],
    ]) {
      if (came !== declared) {
        throw new CocosError('TRANSFER_SIZE_MISMATCH', `${came} bytes came, ${declared} were declared.`);
      }
    }
    const digest = upload.hash.finish();
    if (digest !== upload.digest) {
      throw new CocosError('TRANSFER_DIGEST_MISMATCH', `What came has the digest ${digest}.`, {
        details: { expected: upload.digest, found: digest },
      });
    }
    await upload.file.close();
    upload.opener.erase();
    this.uploads.delete(upload.id);
    this.reservations.commit(upload.id);
    await rename(upload.partFile, this.committedFile(upload.input));
  }

  async discard(id: string): Promise<void> {
    const upload = this.uploads.get(id);
    if (upload === undefined) return;
    this.uploads.delete(id);
    this.reservations.release(id);
    upload.opener.erase();
    upload.inflater?.close();
    await upload.written.catch(() => undefined);
    await upload.file.close().catch(() => undefined);
    await rm(upload.partFile, { force: true });
  }

  async clear(): Promise<void> {
    for (const id of [...this.uploads.keys()]) await this.discard(id);
    this.reservations.clear();
    await rm(this.directory, { recursive: true, force: true });
  }
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
    throw new CocosError('LIMIT_EXCEEDED', 'The enclave cannot hold what came.', { cause });
  }
}
