import { createReadStream } from 'node:fs';
import { access, mkdtemp, open, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createGunzip } from 'node:zlib';
import {
  ALGORITHM_HEAD_BYTES,
  checkAlgorithmHead,
  invalidAlgorithm,
  isGzip,
  isZip,
  PYTHON_MAIN,
} from '../../archive/algorithm-file.ts';
import { type ArchiveLimits, DEFAULT_ARCHIVE_LIMITS } from '../../archive/limits.ts';
import { unpackArchive } from '../../archive/unpack.ts';
import { zipAsTar } from '../../archive/unzip.ts';
import type { DigestName } from '../../crypto/digest.ts';
import { CocosError } from '../../errors.ts';
import type { Manifest } from '../../machines/manifest.ts';
import { namingFile, readInput, rejectNamingFile, unreadable } from '../files.ts';
import { type UploadSource, uploadSource } from './upload-source.ts';

/** A zip is read into memory. */
const MAX_ZIP_BYTES = 512 * 1024 * 1024;

export interface AlgorithmFile {
  readonly kind: Manifest['algorithm']['kind'];
  readonly hash: DigestName;
  /** Of the unpacked archive; the disk limit of the run. */
  readonly diskMiB?: number;
}

/**
 * Runs with the bytes of an algorithm as the agent expects them, after the agent's own checks, since the agent makes them
 * only when every input has arrived. A folder, a .tar.gz, a .zip, and an archive whose content is in one top-level folder
 * become the deterministic tar of the folder with main.py. A tar that has it at its top level is sent as it is.
 *
 * @throws CocosError ALGORITHM_INVALID, ARCHIVE_UNSAFE, FILE_NOT_FOUND, FILE_UNREADABLE
 */
export async function withAlgorithm<T>(
  file: string,
  { kind, hash, diskMiB }: AlgorithmFile,
  run: (source: UploadSource) => Promise<T>,
): Promise<T> {
  const info = await stat(file).catch((cause: unknown) => {
    throw unreadable(file, cause);
  });
  if (info.isDirectory()) {
    if (kind !== 'python') throw invalidAlgorithm(`was declared as ${kind}, but ${file} is a folder`);
    return run(await uploadSource(await folderWithMain(file, file), hash));
  }
  const head = await readHead(file);
  const isPacked = kind === 'python' && (isGzip(head) || isZip(head));
  const isArchive = isPacked || namingFile(file, () => checkAlgorithmHead(kind, head).isArchive);
  if (!isArchive) return run(await uploadSource(file, hash));
  const limits = {
    ...DEFAULT_ARCHIVE_LIMITS,
    ...(diskMiB === undefined ? {} : { maxBytes: diskMiB * 2 ** 20 }),
  };
  const temporary = await mkdtemp(path.join(tmpdir(), 'cocosai-algorithm-'));
  try {
    const unpacked = path.join(temporary, 'unpacked');
    await unpackArchive(tarOf(file, head, limits), unpacked, limits).catch(rejectNamingFile(file));
    const root = await folderWithMain(unpacked, file);
    const isSentAsIs = !isPacked && root === unpacked;
    return await run(await uploadSource(isSentAsIs ? file : root, hash));
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/** @throws CocosError FILE_UNREADABLE */
async function readHead(file: string): Promise<Buffer> {
  const handle = await open(file).catch((cause: unknown) => {
    throw unreadable(file, cause);
  });
  try {
    const { buffer, bytesRead } = await handle.read(
      Buffer.alloc(ALGORITHM_HEAD_BYTES),
      0,
      ALGORITHM_HEAD_BYTES,
      0,
    );
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

async function* tarOf(file: string, head: Buffer, limits: ArchiveLimits): AsyncGenerator<Uint8Array> {
  if (isZip(head)) {
    const { size } = await stat(file);
    if (size > MAX_ZIP_BYTES) {
      throw new CocosError(
        'LIMIT_EXCEEDED',
        `The zip has ${size} bytes; at most ${MAX_ZIP_BYTES} are allowed. Use a tar.`,
      );
    }
    yield* zipAsTar(await readInput(file), limits);
    return;
  }
  const bytes = createReadStream(file);
  if (!isGzip(head)) {
    yield* bytes as AsyncIterable<Buffer>;
    return;
  }
  const inflated = createGunzip();
  bytes.on('error', (error) => inflated.destroy(error));
  try {
    yield* bytes.pipe(inflated) as AsyncIterable<Buffer>;
  } catch (cause) {
    throw new CocosError('ARCHIVE_UNSAFE', 'The gzip is damaged.', { cause });
  } finally {
    bytes.destroy();
    inflated.destroy();
  }
}

/** The folder, or its only subfolder, with main.py. @throws CocosError ALGORITHM_INVALID */
async function folderWithMain(folder: string, file: string): Promise<string> {
  if (await hasMain(folder)) return folder;
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    throw unreadable(folder, cause);
  });
  const [only, ...others] = entries;
  if (only?.isDirectory() && others.length === 0) {
    const inner = path.join(folder, only.name);
    if (await hasMain(inner)) return inner;
  }
  throw invalidAlgorithm(
    `in ${file} has no '${PYTHON_MAIN}' at its top level, nor in its only folder; add one`,
  );
}

async function hasMain(folder: string): Promise<boolean> {
  return access(path.join(folder, PYTHON_MAIN)).then(
    () => true,
    () => false,
  );
}
