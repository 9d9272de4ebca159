import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import * as tar from 'tar-stream';
import { CocosError } from '../errors.ts';
import { type ArchiveLimits, DEFAULT_ARCHIVE_LIMITS } from './limits.ts';
import { fileError, listTree, type OmittedEntry, type TreeEntry } from './tree.ts';

/**
 * Deterministic tar (POSIX ustar, pax for long names) of a folder: the same tree always produces the same bytes,
 * regardless of time, machine and user.
 */

/**
 * The tar of a folder as a byte stream. Entries are sorted by the bytes of their names. Times, owners and all mode bits
 * except the owner's execute bit are omitted. The folder must not change meanwhile.
 *
 * @param onOmitted see `listTree`
 * @throws CocosError ARCHIVE_UNSAFE for a link, device, socket or pipe, a name or count that is not allowed, or more
 * bytes than allowed; FILE_NOT_FOUND or FILE_UNREADABLE when the folder or a file in it cannot be read or changes
 */
export async function* packDirectory(
  folder: string,
  limits: ArchiveLimits = DEFAULT_ARCHIVE_LIMITS,
  onOmitted?: (entry: OmittedEntry) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  const entries = await listTree(folder, limits, onOmitted);
  const pack = tar.pack();
  const stopped = new AbortController();
  const filling = fill(pack, entries, stopped.signal).then(
    () => undefined,
    (error: unknown) => {
      pack.destroy(error instanceof Error ? error : undefined);
      return error;
    },
  );
  try {
    for await (const chunk of pack) if (chunk instanceof Uint8Array) yield chunk;
  } catch (thrown) {
    throw fileError(thrown, folder);
  } finally {
    // If the reader stops early, the writer must not wait for it.
    stopped.abort();
    pack.destroy();
    await filling;
  }
}

async function fill(pack: tar.Pack, entries: readonly TreeEntry[], signal: AbortSignal): Promise<void> {
  for (const { name, path, stats } of entries) {
    signal.throwIfAborted();
    const header = { name, mtime: new Date(0), uid: 0, gid: 0, uname: '', gname: '' };
    if (stats.isDirectory()) {
      await new Promise<void>((resolve, reject) => {
        const done = (error?: Error | null) => (error ? reject(error) : resolve());
        pack.entry({ ...header, name: `${name}/`, type: 'directory', mode: 0o755 }, done);
      });
      continue;
    }
    const mode = (stats.mode & 0o100) === 0 ? 0o644 : 0o755;
    const entry = pack.entry({ ...header, type: 'file', mode, size: stats.size });
    await pipeline(readExactly(path, stats.size), entry, { signal });
  }
  pack.finalize();
}

/** Content of a file of a known size. A file that changed since it was listed is an error. */
async function* readExactly(path: string, size: number): AsyncGenerator<Buffer> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    let read = 0;
    for await (const chunk of file.createReadStream({ autoClose: false, highWaterMark: 256 * 1024 })) {
      if (!Buffer.isBuffer(chunk)) continue;
      read += chunk.length;
      if (read > size) break;
      yield chunk;
    }
    if (read !== size)
      throw new CocosError('FILE_UNREADABLE', `The file '${path}' changed while it was read; try again.`);
  } finally {
    await file.close();
  }
}
