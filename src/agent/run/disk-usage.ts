import { constants } from 'node:fs';
import { type FileHandle, lstat, open, opendir, statfs } from 'node:fs/promises';

/** Maximum number of files and folders in the results; beyond it, packing costs more than the bytes do. */
export const MAX_RESULT_ENTRIES = 100_000;

/** Beyond this many bytes a path is replaced by a descriptor of its folder, since no call takes one of PATH_MAX (4096). */
const LONG_PATH = 2_048;
/** Folders that are held open for that; a tree that needs more is deeper than any that is packed. */
const MAX_HELD_FOLDERS = 64;
/** What a file system itself may take, beside a sixteenth of what is written. */
const FILE_SYSTEM_BYTES = 8 * 1024 * 1024;
const SLASH = Buffer.from('/');

/** What a run may leave on the disk, and what it takes of it while it runs. */
export class DiskUsage {
  private readonly folder: string;
  private readonly maxBytes: number;
  /** Bytes that were free before the run; null where others write to the same file system. */
  private readonly freeBefore: number | null;

  private constructor(folder: string, maxBytes: number, freeBefore: number | null) {
    this.folder = folder;
    this.maxBytes = maxBytes;
    this.freeBefore = freeBefore;
  }

  /**
   * @param folder of the results, before the run
   * @param ownsFileSystem whether nothing but the run writes to the folder's file system
   */
  static async before(folder: string, maxBytes: number, ownsFileSystem: boolean): Promise<DiskUsage> {
    return new DiskUsage(folder, maxBytes, ownsFileSystem ? await freeBytes(folder) : null);
  }

  /**
   * Whether the run holds more than it may: in the folder, or on the whole file system, where files that have no name
   * any more but are still open count as well.
   */
  async isExceeded(): Promise<boolean> {
    if (this.freeBefore !== null) {
      const taken = this.freeBefore - (await freeBytes(this.folder));
      if (taken > this.maxBytes + this.maxBytes / 16 + FILE_SYSTEM_BYTES) return true;
    }
    return exceedsDisk(this.folder, this.maxBytes);
  }
}

async function freeBytes(folder: string): Promise<number> {
  const { bfree, bsize } = await statfs(folder);
  return bfree * bsize;
}

/**
 * Whether a folder holds more than `maxBytes` bytes or 100,000 entries. A file counts with the larger of its length
 * and its blocks, since a sparse file is packed at its full length. The scan stops at the limit and ignores files that
 * disappear meanwhile.
 */
export async function exceedsDisk(folder: string, maxBytes: number): Promise<boolean> {
  const held: FileHandle[] = [];
  try {
    return await scan(Buffer.from(folder), maxBytes, held);
  } finally {
    for (const handle of held) await handle.close();
  }
}

async function scan(folder: Buffer, maxBytes: number, held: FileHandle[]): Promise<boolean> {
  let bytes = 0;
  let entries = 0;
  const pending = [folder];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    if (path.length > LONG_PATH) {
      if (held.length >= MAX_HELD_FOLDERS) return true;
      const handle = await open(path, constants.O_DIRECTORY | constants.O_NOFOLLOW).catch(() => undefined);
      if (handle === undefined) continue;
      held.push(handle);
      path = Buffer.from(`/proc/self/fd/${handle.fd}`);
    }
    for (const name of await namesOf(path)) {
      entries += 1;
      const child = Buffer.concat([path, SLASH, name]);
      const stats = await lstat(child).catch(() => undefined);
      if (stats?.isDirectory() === true) pending.push(child);
      else if (stats !== undefined) bytes += Math.max(stats.size, stats.blocks * 512);
      if (bytes > maxBytes || entries > MAX_RESULT_ENTRIES) return true;
    }
  }
  return false;
}

/** In bytes, since a name need not be UTF-8. */
async function namesOf(folder: Buffer): Promise<Buffer[]> {
  const names: Buffer[] = [];
  try {
    for await (const entry of await opendir(folder, { encoding: 'latin1' })) {
      names.push(Buffer.from(entry.name, 'latin1'));
      if (names.length > MAX_RESULT_ENTRIES) break;
    }
  } catch {
    // The algorithm is still running: a folder may be gone or unreadable. The next scan counts again.
  }
  return names;
}
