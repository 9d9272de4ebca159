import { randomBytes } from 'node:crypto';
import { chmod, type FileHandle, mkdir, open, rename, rm, statfs } from 'node:fs/promises';
import path from 'node:path';
import { createDigest } from '../crypto/digest.ts';
import { SegmentOpener } from '../crypto/segments.ts';
import { uploadSegments } from '../crypto/upload.ts';
import { CocosError } from '../errors.ts';
import { ALGORITHM_INPUT } from '../machines/manifest.ts';
import type { Session } from './sessions.ts';

/** Room that must stay free on the work folder's file system. */
const RESERVE_BYTES = 32 * 1024 * 1024;

/** One upload: its plaintext file, its running digest, and the key of its present attempt. */
export interface Upload {
  readonly id: string;
  readonly input: string;
  readonly participant: string;
  readonly size: number;
  readonly digest: string;
  readonly partFile: string;
  readonly file: FileHandle;
  readonly hash: ReturnType<typeof createDigest>;
  received: number;
  attempt: number;
  opener: SegmentOpener;
}

/** Where inputs lie while and after they arrive: in memory, inside the enclave. */
export class InputStore {
  private readonly directory: string;
  private readonly uploads = new Map<string, Upload>();

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

  /** @throws CocosError LIMIT_EXCEEDED when the enclave's memory cannot take `size` bytes more. */
  async create(session: Session, input: string, size: number, digest: string): Promise<Upload> {
    await mkdir(this.directory, { recursive: true });
    // Searchable, not listable: the sandbox's user reaches its own files by name.
    await chmod(this.directory, 0o711);
    const { bavail, bsize } = await statfs(this.directory);
    if (size + RESERVE_BYTES > bavail * bsize) {
      throw new CocosError('LIMIT_EXCEEDED', `The enclave has no room for ${size} bytes.`, {
        details: { free: bavail * bsize },
      });
    }
    const id = randomBytes(16).toString('hex');
    const partFile = path.join(this.directory, `part-${id}`);
    const upload: Upload = {
      id,
      input,
      participant: session.participant,
      size,
      digest,
      partFile,
      file: await open(partFile, 'wx', 0o600),
      hash: createDigest(),
      received: 0,
      attempt: 1,
      opener: new SegmentOpener(
        uploadSegments(session.channel, session.aead, { id, input, size, digest, attempt: 1 }),
      ),
    };
    this.uploads.set(id, upload);
    return upload;
  }

  /** Goes on with an upload under the keys of the present session. */
  resume(upload: Upload, session: Session): void {
    upload.attempt += 1;
    const parameters = uploadSegments(session.channel, session.aead, upload);
    upload.opener = new SegmentOpener(parameters, upload.opener.nextIndex);
  }

  /**
   * Opens one segment and writes it.
   *
   * @throws CocosError CRYPTO_OPEN_FAILED, STREAM_TRAILING or TRANSFER_SIZE_MISMATCH.
   */
  async take(upload: Upload, index: number, last: boolean, ciphertext: Uint8Array): Promise<void> {
    const bytes = upload.opener.open(ciphertext, index, last);
    if (upload.received + bytes.length > upload.size) {
      throw new CocosError('TRANSFER_SIZE_MISMATCH', `More bytes came than the ${upload.size} declared.`);
    }
    await upload.file.write(bytes, 0, bytes.length, upload.received);
    upload.hash.update(bytes);
    upload.received += bytes.length;
  }

  /** Compares what came with what was declared, and keeps it. @throws CocosError TRANSFER_* */
  async commit(upload: Upload): Promise<void> {
    if (upload.received !== upload.size) {
      throw new CocosError(
        'TRANSFER_SIZE_MISMATCH',
        `${upload.received} bytes came, ${upload.size} were declared.`,
      );
    }
    const digest = upload.hash.finish();
    if (digest !== upload.digest) {
      throw new CocosError('TRANSFER_DIGEST_MISMATCH', `What came has the digest ${digest}.`, {
        details: { expected: upload.digest, found: digest },
      });
    }
    await upload.file.close();
    this.uploads.delete(upload.id);
    await rename(upload.partFile, this.committedFile(upload.input));
  }

  async discard(id: string): Promise<void> {
    const upload = this.uploads.get(id);
    if (upload === undefined) return;
    this.uploads.delete(id);
    await upload.file.close().catch(() => undefined);
    await rm(upload.partFile, { force: true });
  }

  async clear(): Promise<void> {
    for (const id of [...this.uploads.keys()]) await this.discard(id);
    await rm(this.directory, { recursive: true, force: true });
  }
}
