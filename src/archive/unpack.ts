import { chmod, mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import * as tar from 'tar-stream';
import { CocosError } from '../errors.ts';
import { plainEntryName } from './entry-name.ts';
import { type ArchiveLimits, DEFAULT_ARCHIVE_LIMITS } from './limits.ts';

/**
 * Safe unpacking of a tar from an untrusted party: only files and folders, each name once, nothing outside the folder,
 * limits on bytes, entries and names. Owners, times and mode bits other than the execute bit are ignored.
 */

/** Set after creation, since the umask of the process would clear bits. */
const FOLDER_MODE = 0o755;
const BLOCK = 512;
/** Bytes passed to the parser at a time, which also limits its buffer. */
const SLICE = 64 * 1024;
/**
 * Limit on archive bytes beyond file content and two blocks per entry: pax headers and trailing padding. The parser
 * buffers a whole pax header, so without this limit one header could exhaust the memory.
 */
const MAX_OVERHEAD = 2 * 1024 * 1024;

interface ArchiveEntry extends AsyncIterable<unknown> {
  readonly header: {
    readonly name: string;
    readonly type: string;
    readonly size: number;
    readonly mode: number;
  };
  resume(): unknown;
}

export interface Unpacked {
  /** Files and folders, not counting folders that only paths imply. */
  readonly entries: number;
  /** Bytes of all files. */
  readonly bytes: number;
}

/**
 * Unpacks a tar into a folder that must not exist yet. Any error removes the folder again.
 * @throws CocosError ARCHIVE_UNSAFE for an archive that is damaged or contains a disallowed path, type, name or amount;
 * FILE_EXISTS if the folder exists; otherwise what the source or the disk throws
 */
export async function unpackArchive(
  source: AsyncIterable<Uint8Array>,
  folder: string,
  limits: ArchiveLimits = DEFAULT_ARCHIVE_LIMITS,
): Promise<Unpacked> {
  await mkdir(folder).catch((error: unknown) => {
    if (hasCode(error, 'EEXIST'))
      throw new CocosError(
        'FILE_EXISTS',
        `The folder '${folder}' already exists; remove it or choose another one.`,
        { cause: error },
      );
    throw error;
  });
  try {
    await chmod(folder, FOLDER_MODE);
    return await new Unpacking(folder, limits).run(source);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

class Unpacking {
  readonly #folder: string;
  readonly #limits: ArchiveLimits;
  /** Every unpacked path, including folders that only paths imply; true for folders. */
  readonly #taken = new Map<string, boolean>([['', true]]);
  /** Folders that have an entry. */
  readonly #named = new Set<string>();
  #entries = 0;
  #bytes = 0;
  #fed = 0;
  #sourceError: unknown;

  constructor(folder: string, limits: ArchiveLimits) {
    this.#folder = folder;
    this.#limits = limits;
  }

  async run(source: AsyncIterable<Uint8Array>): Promise<Unpacked> {
    const extract = tar.extract();
    const feeding = pipeline(
      Readable.from(this.#feed(source), { objectMode: true, highWaterMark: 1 }),
      extract,
    ).then(
      () => undefined,
      (error: unknown) => error,
    );
    try {
      for await (const entry of extract) await this.#take(entry);
    } catch (error) {
      extract.destroy();
      await feeding;
      throw this.#explain(error);
    }
    const failed = await feeding;
    if (failed !== undefined) throw this.#explain(failed);
    return { entries: this.#entries, bytes: this.#bytes };
  }

  /** The source in slices, with the limit on bytes other than content. */
  async *#feed(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const chunks = source[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await chunks.next().catch((error: unknown) => {
          this.#sourceError = error;
          throw error;
        });
        if (next.done === true) return;
        for (let at = 0; at < next.value.length; at += SLICE) {
          const slice = next.value.subarray(at, at + SLICE);
          this.#fed += slice.length;
          const explained = this.#bytes + 2 * BLOCK * (this.#entries + 1);
          if (this.#fed - explained > MAX_OVERHEAD) {
            throw new CocosError('ARCHIVE_UNSAFE', 'The archive has too many bytes that belong to no file.');
          }
          yield slice;
        }
      }
    } finally {
      await chunks.return?.();
    }
  }

  async #take(entry: ArchiveEntry): Promise<void> {
    const { name: rawName, type, size, mode } = entry.header;
    const name = plainEntryName(rawName);
    const isFolder = type === 'directory';
    if (!isFolder && type !== 'file' && type !== 'contiguous-file') {
      throw new CocosError(
        'ARCHIVE_UNSAFE',
        `The entry '${name}' has the type '${type}'; only files and folders are allowed.`,
      );
    }
    this.#entries += 1;
    if (this.#entries > this.#limits.maxEntries) {
      throw new CocosError('ARCHIVE_UNSAFE', `The archive has more than ${this.#limits.maxEntries} entries.`);
    }
    if (!isFolder && this.#bytes + size > this.#limits.maxBytes) {
      throw new CocosError('ARCHIVE_UNSAFE', `The archive has more than ${this.#limits.maxBytes} bytes.`);
    }
    await this.#makeFolders(name);
    if (isFolder) {
      if (this.#named.has(name) || this.#taken.get(name) === false) throw duplicate(name);
      this.#named.add(name);
      await this.#makeFolder(name);
      entry.resume();
      return;
    }
    if (this.#taken.has(name)) throw duplicate(name);
    this.#taken.set(name, false);
    await this.#writeFile(name, (mode & 0o100) === 0 ? 0o644 : 0o755, entry);
  }

  async #makeFolders(name: string): Promise<void> {
    const parts = name.split('/');
    for (let i = 1; i < parts.length; i += 1) await this.#makeFolder(parts.slice(0, i).join('/'));
  }

  async #makeFolder(name: string): Promise<void> {
    const taken = this.#taken.get(name);
    if (taken === true) return;
    if (taken === false)
      throw new CocosError(
        'ARCHIVE_UNSAFE',
        `The archive contains '${name}' both as a file and as a folder.`,
      );
    if (this.#taken.size > this.#limits.maxEntries) {
      throw new CocosError('ARCHIVE_UNSAFE', `The archive has more than ${this.#limits.maxEntries} entries.`);
    }
    this.#taken.set(name, true);
    await mkdir(join(this.#folder, name));
    await chmod(join(this.#folder, name), FOLDER_MODE);
  }

  async #writeFile(name: string, mode: number, content: AsyncIterable<unknown>): Promise<void> {
    // Exclusive creation follows no link and opens no existing file.
    const file = await open(join(this.#folder, name), 'wx', mode);
    try {
      await file.chmod(mode);
      for await (const chunk of content) {
        if (!(chunk instanceof Uint8Array)) continue;
        this.#bytes += chunk.length;
        for (let at = 0; at < chunk.length; ) at += (await file.write(chunk, at)).bytesWritten;
      }
    } finally {
      await file.close();
    }
  }

  /** Errors of this module, the source or the disk pass unchanged; an error of the parser means a damaged archive. */
  #explain(error: unknown): unknown {
    if (this.#sourceError !== undefined) return this.#sourceError;
    if (error instanceof CocosError || (error instanceof Error && 'syscall' in error)) return error;
    return new CocosError('ARCHIVE_UNSAFE', 'The archive is damaged or is not a tar.', { cause: error });
  }
}

function duplicate(name: string): CocosError {
  return new CocosError('ARCHIVE_UNSAFE', `The archive contains '${name}' twice.`);
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
