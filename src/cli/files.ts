import { createReadStream } from 'node:fs';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { parseStrictJson } from '../attestation/encoding/strict-json.ts';
import { createDigest, type DigestName } from '../crypto/digest.ts';
import { CocosError } from '../errors.ts';

/** Reads a file that the user named. @throws CocosError FILE_NOT_FOUND, FILE_UNREADABLE */
export async function readInput(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

/**
 * Reads a file of JSON in which no object has a member twice.
 *
 * @throws CocosError FILE_NOT_FOUND, FILE_UNREADABLE
 */
export async function readJson(file: string): Promise<unknown> {
  const text = (await readInput(file)).toString('utf8');
  try {
    return parseStrictJson(text);
  } catch (cause) {
    throw new CocosError('FILE_UNREADABLE', `${file} cannot be used: ${CocosError.from(cause).message}.`, {
      cause,
    });
  }
}

/** Writes a file that must not be there yet. @throws CocosError FILE_EXISTS, FILE_UNREADABLE */
export async function writeNew(file: string, content: string | Uint8Array, mode = 0o644): Promise<void> {
  try {
    await writeFile(file, content, { flag: 'wx', mode });
  } catch (cause) {
    if (isErrno(cause, 'EEXIST'))
      throw new CocosError('FILE_EXISTS', `${file} exists and is not overwritten.`, { cause });
    throw new CocosError('FILE_UNREADABLE', `${file} cannot be written.`, { cause });
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
  if (!info.isFile()) throw new CocosError('FILE_UNREADABLE', `${file} is not a file.`);
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

function unreadable(file: string, cause: unknown): CocosError {
  if (isErrno(cause, 'ENOENT'))
    return new CocosError('FILE_NOT_FOUND', `There is no file ${file}.`, { cause });
  return new CocosError('FILE_UNREADABLE', `${file} cannot be read.`, { cause });
}

function isErrno(thrown: unknown, code: string): boolean {
  return thrown instanceof Error && 'code' in thrown && thrown.code === code;
}
