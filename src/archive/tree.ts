import { constants, type Stats } from 'node:fs';
import { access, lstat, readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { CocosError } from '../errors.ts';
import { plainEntryName } from './entry-name.ts';
import type { ArchiveLimits } from './limits.ts';

/** The files and folders below a folder, as an archive may hold them. */

export interface TreeEntry {
  /** Path in the archive. */
  readonly name: string;
  readonly path: string;
  readonly stats: Stats;
}

/** An entry that an archive cannot hold. What lies below an omitted folder is omitted with it. */
export interface OmittedEntry {
  /** Printable ASCII in double quotes. */
  readonly name: string;
  readonly why: 'a link' | 'a special file' | 'its path is not allowed' | 'it cannot be read';
}

/** Bytes of a name that are shown. */
const MAX_SHOWN_BYTES = 200;

/**
 * Sorted by the bytes of their names.
 *
 * @param onOmitted is called for an entry that an archive cannot hold; without it, such an entry is an error. With it,
 * a link to a file below the folder becomes a copy of the file.
 * @throws CocosError ARCHIVE_UNSAFE for such an entry, or for more entries or bytes than allowed; FILE_NOT_FOUND or
 * FILE_UNREADABLE when the folder cannot be read
 */
export async function listTree(
  root: string,
  limits: ArchiveLimits,
  onOmitted?: (entry: OmittedEntry) => void,
): Promise<TreeEntry[]> {
  const found: TreeEntry[] = [];
  let bytes = 0;
  const pending = [''];
  for (let prefix = pending.pop(); prefix !== undefined; prefix = pending.pop()) {
    for (const child of await listFolder(join(root, prefix))) {
      const entry =
        onOmitted === undefined
          ? await requireEntry(root, prefix, child)
          : await entryOrCopy(root, prefix, child, onOmitted);
      if (entry === null) continue;
      if (entry.stats.isDirectory()) pending.push(entry.name);
      else bytes += entry.stats.size;
      found.push(entry);
      if (found.length > limits.maxEntries) {
        throw new CocosError('ARCHIVE_UNSAFE', `The folder has more than ${limits.maxEntries} entries.`);
      }
      if (bytes > limits.maxBytes) {
        throw new CocosError('ARCHIVE_UNSAFE', `The folder has more than ${limits.maxBytes} bytes.`);
      }
    }
  }
  return found.sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
}

async function requireEntry(root: string, prefix: string, child: Buffer): Promise<TreeEntry> {
  const name = nameOf(prefix, child);
  const path = join(root, name);
  const stats = await lstat(path).catch((error: unknown) => {
    throw fileError(error, path);
  });
  if (stats.isFile() || stats.isDirectory()) return { name, path, stats };
  throw new CocosError(
    'ARCHIVE_UNSAFE',
    `'${name}' is a link or a special file; an archive may hold only files and folders.`,
  );
}

async function entryOrCopy(
  root: string,
  prefix: string,
  child: Buffer,
  onOmitted: (entry: OmittedEntry) => void,
): Promise<TreeEntry | null> {
  const omit = (why: OmittedEntry['why']) => {
    onOmitted({ name: shownName(prefix, child), why });
    return null;
  };
  const name = nameOrNull(prefix, child);
  if (name === null) return omit('its path is not allowed');
  const given = join(root, name);
  const isLink = (await lstat(given)).isSymbolicLink();
  const path = isLink ? await targetBelow(root, given) : given;
  const stats = path === null ? null : await lstat(path);
  if (path === null || stats === null || (isLink && !stats.isFile())) return omit('a link');
  if (!stats.isFile() && !stats.isDirectory()) return omit('a special file');
  return (await isReadable(path, stats)) ? { name, path, stats } : omit('it cannot be read');
}

/** The file or folder that a link leads to; null if there is none below `root`. */
async function targetBelow(root: string, link: string): Promise<string | null> {
  const target = await realpath(link).catch(() => null);
  return target?.startsWith(`${await realpath(root)}/`) === true ? target : null;
}

function isReadable(path: string, stats: Stats): Promise<boolean> {
  const mode = stats.isDirectory() ? constants.R_OK | constants.X_OK : constants.R_OK;
  return access(path, mode).then(
    () => true,
    () => false,
  );
}

/** @throws CocosError ARCHIVE_UNSAFE */
function nameOf(prefix: string, child: Buffer): string {
  // Bytes that are not UTF-8 become the replacement character, which is not allowed.
  const text = child.toString('utf8');
  return plainEntryName(prefix === '' ? text : `${prefix}/${text}`);
}

function nameOrNull(prefix: string, child: Buffer): string | null {
  try {
    return nameOf(prefix, child);
  } catch (thrown) {
    if (thrown instanceof CocosError && thrown.code === 'ARCHIVE_UNSAFE') return null;
    throw thrown;
  }
}

/** A name for a log, which terminals show: printable ASCII, other bytes in hex. */
function shownName(prefix: string, child: Buffer): string {
  const bytes = Buffer.concat([Buffer.from(prefix === '' ? '' : `${prefix}/`), child]);
  const shown = [...bytes.subarray(-MAX_SHOWN_BYTES)].map((byte) =>
    byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c
      ? String.fromCharCode(byte)
      : `\\x${byte.toString(16).padStart(2, '0')}`,
  );
  return `"${bytes.length > MAX_SHOWN_BYTES ? '...' : ''}${shown.join('')}"`;
}

async function listFolder(path: string): Promise<Buffer[]> {
  try {
    return await readdir(path, { encoding: 'buffer' });
  } catch (error) {
    throw fileError(error, path);
  }
}

export function fileError(thrown: unknown, path: string): CocosError {
  if (thrown instanceof CocosError) return thrown;
  const errno = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : '';
  if (errno === 'ENOENT')
    return new CocosError('FILE_NOT_FOUND', `There is no file or folder '${path}'.`, { cause: thrown });
  const why = errno === 'EACCES' ? ': permission denied' : errno === '' ? '' : ` (${errno})`;
  return new CocosError('FILE_UNREADABLE', `'${path}' cannot be read${why}.`, { cause: thrown });
}
