import { randomUUID } from 'node:crypto';
import { chmod, lstat, readdir, rename, rm, rmdir, unlink } from 'node:fs/promises';
import path from 'node:path';

const OPEN = 0o700;

/**
 * Removes a tree that somebody else wrote, whatever is in it: folders that nobody may enter, and chains of folders whose
 * path is longer than any call takes. Each folder is moved up below the root before it is emptied, so that no path gets
 * long. Does nothing where there is no tree. Nobody else may write to the tree meanwhile.
 */
export async function removeTree(root: string): Promise<void> {
  const found = await lstat(root).catch(() => null);
  if (found === null) return;
  if (!found.isDirectory()) return rm(root, { force: true });
  await open(root);
  const prefix = `.remove-${randomUUID()}-`;
  let moved = 0;
  const folders: string[] = [];
  /** Removes the files of a folder and moves its folders up. */
  const empty = async (folder: string): Promise<void> => {
    // Names as bytes, since one need not be text.
    for (const entry of await readdir(folder, { withFileTypes: true, encoding: 'buffer' })) {
      const file = Buffer.concat([Buffer.from(`${folder}/`), entry.name]);
      if (!entry.isDirectory()) {
        await unlink(file);
        continue;
      }
      // A folder that its owner may not write to cannot be moved either.
      await open(file);
      const place = path.join(root, `${prefix}${moved++}`);
      await rename(file, place);
      folders.push(place);
    }
  };
  await empty(root);
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    await empty(folder);
    await rmdir(folder);
  }
  await rmdir(root);
}

/** Of a folder of another user only a process that needs no permission can remove anything; then the rest succeeds too. */
async function open(folder: string | Buffer): Promise<void> {
  await chmod(folder, OPEN).catch(() => undefined);
}
