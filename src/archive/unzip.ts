import { crc32, inflateRawSync } from 'node:zlib';
import * as tar from 'tar-stream';
import { CocosError } from '../errors.ts';
import { plainEntryName } from './entry-name.ts';
import { type ArchiveLimits, DEFAULT_ARCHIVE_LIMITS } from './limits.ts';

/**
 * The files of a zip as a tar, which `unpackArchive` then checks like any other: names, kinds of entries, duplicates and
 * limits are judged in one place. Encrypted, split and zip64 archives are not supported.
 */

const END = 0x06054b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const END_BYTES = 22;
const CENTRAL_BYTES = 46;
const LOCAL_BYTES = 30;
/** The content is held in memory. */
const MAX_CONTENT_BYTES = 2 ** 30;
const MAX_COMMENT_BYTES = 0xffff;
const ENCRYPTED = 1;
const STORED = 0;
const DEFLATED = 8;
const KIND_MASK = 0o170000;
const LINK = 0o120000;

interface ZipEntry {
  readonly name: string;
  readonly flags: number;
  readonly method: number;
  readonly crc: number;
  readonly packed: number;
  readonly size: number;
  /** Of the system that made the archive; zero if it was not Unix. */
  readonly mode: number;
  readonly offset: number;
}

/** @throws CocosError ARCHIVE_UNSAFE for a zip that is damaged, not supported or larger than the limits */
export async function* zipAsTar(
  zip: Buffer,
  limits: ArchiveLimits = DEFAULT_ARCHIVE_LIMITS,
): AsyncGenerator<Uint8Array, void, undefined> {
  const pack = tar.pack();
  const maxBytes = Math.min(limits.maxBytes, MAX_CONTENT_BYTES);
  let bytes = 0;
  for (const entry of entriesOf(zip, limits)) {
    const { name, mode } = entry;
    // A tar would end a name at its first zero byte.
    plainEntryName(name);
    if (name.endsWith('/')) {
      pack.entry({ name, type: 'directory' });
      continue;
    }
    // The unpacker refuses it; its target does not matter.
    if ((mode & KIND_MASK) === LINK) {
      pack.entry({ name, type: 'symlink', linkname: '-' });
      continue;
    }
    bytes += entry.size;
    if (bytes > maxBytes) throw unsafe(`contains more than ${maxBytes} bytes`);
    pack.entry({ name, mode: (mode & 0o100) === 0 ? 0o644 : 0o755 }, contentOf(zip, entry));
  }
  pack.finalize();
  for await (const chunk of pack) if (chunk instanceof Uint8Array) yield chunk;
}

function entriesOf(zip: Buffer, limits: ArchiveLimits): ZipEntry[] {
  const end = endOf(zip);
  const count = zip.readUInt16LE(end + 10);
  let at = zip.readUInt32LE(end + 16);
  if (count > limits.maxEntries) throw unsafe(`has more than ${limits.maxEntries} entries`);
  return Array.from({ length: count }, () => {
    if (at + CENTRAL_BYTES > end || zip.readUInt32LE(at) !== CENTRAL) throw damaged();
    const nameBytes = zip.readUInt16LE(at + 28);
    const next = at + CENTRAL_BYTES + nameBytes + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
    if (next > end) throw damaged();
    const madeOnUnix = zip.readUInt8(at + 5) === 3;
    const entry = {
      // Bytes that are not UTF-8 become replacement characters, which the unpacker refuses.
      name: zip.toString('utf8', at + CENTRAL_BYTES, at + CENTRAL_BYTES + nameBytes),
      flags: zip.readUInt16LE(at + 8),
      method: zip.readUInt16LE(at + 10),
      crc: zip.readUInt32LE(at + 16),
      packed: zip.readUInt32LE(at + 20),
      size: zip.readUInt32LE(at + 24),
      mode: madeOnUnix ? zip.readUInt16LE(at + 40) : 0,
      offset: zip.readUInt32LE(at + 42),
    };
    at = next;
    return entry;
  });
}

/** Position of the end record, which may be followed by a comment. */
function endOf(zip: Buffer): number {
  const first = Math.max(0, zip.length - END_BYTES - MAX_COMMENT_BYTES);
  for (let at = zip.length - END_BYTES; at >= first; at -= 1) {
    if (zip.readUInt32LE(at) !== END) continue;
    if (at + END_BYTES + zip.readUInt16LE(at + 20) === zip.length) return at;
  }
  throw damaged();
}

function contentOf(zip: Buffer, { name, flags, method, crc, packed, size, offset }: ZipEntry): Buffer {
  if ((flags & ENCRYPTED) !== 0) throw unsafe(`is encrypted at '${name}'`);
  if (method !== STORED && method !== DEFLATED) {
    throw unsafe(`uses the compression method ${method} at '${name}'; only deflate is supported`);
  }
  if (offset + LOCAL_BYTES > zip.length || zip.readUInt32LE(offset) !== LOCAL) throw damaged(name);
  const start = offset + LOCAL_BYTES + zip.readUInt16LE(offset + 26) + zip.readUInt16LE(offset + 28);
  const bytes = zip.subarray(start, start + packed);
  const content = method === STORED ? bytes : inflate(bytes, name, size);
  if (bytes.length !== packed || content.length !== size || crc32(content) !== crc) throw damaged(name);
  return content;
}

function inflate(bytes: Buffer, name: string, size: number): Buffer {
  try {
    return inflateRawSync(bytes, { maxOutputLength: Math.max(1, size) });
  } catch (cause) {
    throw damaged(name, cause);
  }
}

function damaged(name?: string, cause?: unknown): CocosError {
  return unsafe(`is damaged${name === undefined ? '' : ` at '${name}'`} or is not a zip`, cause);
}

function unsafe(what: string, cause?: unknown): CocosError {
  return new CocosError('ARCHIVE_UNSAFE', `The archive ${what}.`, { cause });
}
