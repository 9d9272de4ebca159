import { lstat, opendir } from 'node:fs/promises';

/** Maximum number of files and folders in the results; beyond it, packing costs more than the bytes do. */
export const MAX_RESULT_ENTRIES = 100_000;

const SLASH = Buffer.from('/');

/**
 * Whether a folder holds more than `maxBytes` bytes or 100,000 entries. A file counts with the larger of its length
 * and its blocks, since a sparse file is packed at its full length. The scan stops at the limit and ignores files that
 * disappear meanwhile.
 */
export async function exceedsDisk(folder: string, maxBytes: number): Promise<boolean> {
  let bytes = 0;
  let entries = 0;
  const pending = [Buffer.from(folder)];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
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
