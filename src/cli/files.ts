import { constants, createReadStream } from 'node:fs';
import {
  copyFile,
  type FileHandle,
  link,
  mkdir,
  open,
  readFile,
  rename,
  rm,
  rmdir,
  stat,
} from 'node:fs/promises';
import { parseStrictJson } from '../attestation/encoding/strict-json.ts';
import { createDigest, type DigestName } from '../crypto/digest.ts';
import { CocosError } from '../errors.ts';

/** Files that the user names: read whole, and written without ever overwriting one. */

/** @throws CocosError FILE_NOT_FOUND, FILE_UNREADABLE */
export async function readInput(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

/**
 * Reads a JSON file. Duplicate members of an object are refused.
 *
 * @throws CocosError FILE_NOT_FOUND, FILE_UNREADABLE
 */
export async function readJson(file: string): Promise<unknown> {
  return jsonIn(file, await readInput(file));
}

/** The JSON in the bytes of a file. Duplicate members of an object are refused. @throws CocosError FILE_UNREADABLE */
export function jsonIn(file: string, bytes: Uint8Array): unknown {
  try {
    return parseStrictJson(Buffer.from(bytes).toString('utf8'));
  } catch (cause) {
    throw new CocosError('FILE_UNREADABLE', parseFailure(file, cause), { cause });
  }
}

/** Adds the name of a file to an error of its parser. The code and the details stay those of the parser. */
export function namingFile<T>(file: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    const { code, details } = CocosError.from(cause);
    throw new CocosError(code, parseFailure(file, cause), { cause, details });
  }
}

/** As `namingFile`, for the rejection of a promise. */
export function rejectNamingFile(file: string): (thrown: unknown) => never {
  return (thrown) =>
    namingFile(file, () => {
      throw thrown;
    });
}

/** The message of an error whose cause is a parser. */
export function parseFailure(file: string, cause: unknown): string {
  return `Cannot use ${file}: ${CocosError.from(cause).toJSON().message.replace(/\.$/, '')}.`;
}

/** Writes a new file, or leaves none behind. @throws CocosError FILE_EXISTS, FILE_UNREADABLE */
export async function writeNew(file: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
  const handle = await open(file, 'wx', mode).catch((cause: unknown) => {
    throw notWritten(file, cause);
  });
  try {
    await handle.writeFile(content);
    await handle.close();
  } catch (cause) {
    await handle.close().catch(() => undefined);
    await rm(file, { force: true });
    throw notWritten(file, cause);
  }
}

/** File systems without hard links answer with one of these. */
const NO_HARD_LINKS: ReadonlySet<string> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

/**
 * Gives a complete file its final name, unless that name is taken: then the file stays where it is.
 *
 * rename(2) would replace a file that another program created after the last check.
 *
 * @throws CocosError FILE_EXISTS naming both files; FILE_UNREADABLE
 */
export async function publishFile(complete: string, file: string): Promise<void> {
  try {
    await link(complete, file).catch(async (cause: unknown) => {
      if (!NO_HARD_LINKS.has(errnoOf(cause))) throw cause;
      await copyFile(complete, file, constants.COPYFILE_EXCL);
    });
  } catch (cause) {
    if (errnoOf(cause) === 'EEXIST') {
      const kept = `The complete data is in ${complete}; move it to another name.`;
      throw new CocosError('FILE_EXISTS', `${alreadyExists(file)} ${kept}`, { cause });
    }
    throw notWritten(file, cause);
  }
  await rm(complete, { force: true });
}

/**
 * Gives a complete folder its final name, unless that name is taken.
 *
 * @throws CocosError FILE_EXISTS, FILE_UNREADABLE
 */
export async function publishFolder(complete: string, folder: string): Promise<void> {
  // Only the process whose mkdir succeeds owns the name. Its rename replaces its own empty folder, and fails when
  // another program has put something into it.
  await mkdir(folder).catch((cause: unknown) => {
    throw notWritten(folder, cause);
  });
  try {
    await rename(complete, folder);
  } catch (cause) {
    if (errnoOf(cause) === 'ENOTEMPTY') throw new CocosError('FILE_EXISTS', alreadyExists(folder), { cause });
    await rmdir(folder).catch(() => undefined);
    throw notWritten(folder, cause);
  }
}

/** Opens a regular file for several passes over the same bytes. @throws CocosError FILE_NOT_FOUND, FILE_UNREADABLE */
export async function withOpenFile<T>(file: string, run: (handle: FileHandle) => Promise<T>): Promise<T> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause: unknown) => {
    throw unreadable(file, cause);
  });
  try {
    if (!(await handle.stat()).isFile()) {
      throw new CocosError('FILE_UNREADABLE', `${file} is not a regular file.`);
    }
    return await run(handle);
  } finally {
    await handle.close();
  }
}

const CHUNK_BYTES = 256 * 1024;

/** The bytes of an open file from its beginning. The handle stays open, unlike with its own streams. */
export async function* chunksOf(handle: FileHandle): AsyncGenerator<Uint8Array, void, undefined> {
  for (let position = 0; ; ) {
    const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    const { bytesRead } = await handle.read(chunk, 0, CHUNK_BYTES, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield chunk.subarray(0, bytesRead);
  }
}

export interface FileDigest {
  readonly digest: string;
  readonly size: number;
}

/** Digest and size of a file, read as a stream. */
export async function digestFile(file: string, name: DigestName = 'sha256'): Promise<FileDigest> {
  const info = await stat(file).catch((cause: unknown) => {
    throw unreadable(file, cause);
  });
  if (!info.isFile()) throw new CocosError('FILE_UNREADABLE', `${file} is not a regular file.`);
  const digest = createDigest(name);
  let size = 0;
  try {
    for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
      digest.update(chunk);
      size += chunk.length;
    }
  } catch (cause) {
    throw unreadable(file, cause);
  }
  return { digest: digest.finish(), size };
}

/** The error for a file or folder that cannot be read. */
export function unreadable(file: string, cause: unknown): CocosError {
  const errno = errnoOf(cause);
  if (errno === 'ENOENT') return new CocosError('FILE_NOT_FOUND', `${file} does not exist.`, { cause });
  return new CocosError('FILE_UNREADABLE', `Cannot read ${file}${reasonOf(errno)}.`, { cause });
}

/** The error for a file or folder that cannot be written. */
export function notWritten(file: string, cause: unknown): CocosError {
  const errno = errnoOf(cause);
  if (errno === 'EEXIST') return new CocosError('FILE_EXISTS', alreadyExists(file), { cause });
  return new CocosError('FILE_UNREADABLE', `Cannot write ${file}${reasonOf(errno)}.`, { cause });
}

export function alreadyExists(file: string): string {
  return `${file} already exists and will not be overwritten.`;
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EISDIR: 'it is a folder',
  ENOTDIR: 'part of the path is not a folder',
  ENOENT: 'its folder does not exist',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the file system is read-only',
  EIO: 'input/output error',
};

function reasonOf(errno: string): string {
  const reason = REASONS[errno] ?? errno;
  return reason === '' ? '' : `: ${reason}`;
}

function errnoOf(thrown: unknown): string {
  return thrown instanceof Error && 'code' in thrown ? String(thrown.code) : '';
}
