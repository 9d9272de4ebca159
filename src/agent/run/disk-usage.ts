import { lstat, opendir } from 'node:fs/promises';
import { join } from 'node:path';

/** Files and folders that results may have; more would cost the packing more than the bytes do. */
export const MAX_RESULT_ENTRIES = 100_000;

/**
 * Whether a folder holds more than `maxBytes` bytes or 100,000 entries. A file counts with its length or its
 * blocks, whichever is more: a sparse file is packed at its full length. It stops as soon as the answer is yes, and
 * passes over what vanishes while it looks.
 */
export async function exceedsDisk(folder: string, maxBytes: number): Promise<boolean> {
  let bytes = 0;
  let entries = 0;
  const pending = [folder];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    for (const name of await namesOf(path)) {
      entries += 1;
      const stats = await lstat(join(path, name)).catch(() => undefined);
      if (stats?.isDirectory() === true) pending.push(join(path, name));
      else if (stats !== undefined) bytes += Math.max(stats.size, stats.blocks * 512);
      if (bytes > maxBytes || entries > MAX_RESULT_ENTRIES) return true;
    }
  }
  return false;
}

async function namesOf(folder: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const entry of await opendir(folder)) {
      names.push(entry.name);
      if (names.length > MAX_RESULT_ENTRIES) break;
    }
  } catch {
    // The algorithm is still at work here: a folder may be gone or closed to us, and the next look counts again.
  }
  return names;
}
