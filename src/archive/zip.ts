import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { CocosError } from '../errors.ts';

/**
 * The zip that the Go CocosAI (v0.9 and later) creates of a folder, byte for byte, for checksums in its manifests:
 * stored files in the order of their paths, sizes after the data, times at the start of 1970.
 */

const CHUNK_BYTES = 256 * 1024;
/** Sizes and offsets have 32 bits; zip64 is not supported. */
const LIMIT = 2 ** 32 - 1;
const MAX_ENTRIES = 2 ** 16 - 1;

const VERSION = 20;
const MADE_ON_UNIX = (3 << 8) | VERSION;
const SIZES_BEHIND = 0x0008;
const UTF8_NAME = 0x0800;
/** Extended timestamp: modified at 0. */
const EXTRA = [u16(0x5455), u16(5), Uint8Array.of(1), u32(0)];
const EXTRA_BYTES = 9;

/** A local time, since the zip format has no time zones. */
export type LocalTime = Pick<
  Date,
  'getFullYear' | 'getMonth' | 'getDate' | 'getHours' | 'getMinutes' | 'getSeconds'
>;

interface Entry {
  readonly name: Buffer;
  readonly mode: number;
  readonly offset: number;
  readonly crc: number;
  readonly size: number;
}

/**
 * @param epoch the start of 1970 in local time, which the Go program writes and the checksum covers
 * @throws CocosError LIMIT_EXCEEDED for what needs zip64, FILE_UNREADABLE
 */
export async function* packZip(
  folder: string,
  epoch: LocalTime = new Date(0),
): AsyncGenerator<Uint8Array, void, undefined> {
  const entries: Entry[] = [];
  let offset = 0;
  const written = (bytes: Uint8Array) => {
    offset += bytes.length;
    if (offset > LIMIT)
      throw new CocosError(
        'LIMIT_EXCEEDED',
        `The folder is larger than 4 GiB, the limit of a zip without zip64.`,
      );
    return bytes;
  };
  for (const file of await filesOf(folder)) {
    const start = offset;
    const name = Buffer.from(file);
    const source = path.join(folder, file);
    const { mode } = await stat(source);
    yield written(
      Buffer.concat([
        u32(0x04034b50),
        ...common(name, epoch),
        u32(0),
        u32(0),
        u32(0),
        ...names(name),
        name,
        ...EXTRA,
      ]),
    );
    let crc = 0;
    let size = 0;
    for await (const chunk of chunksOf(source)) {
      crc = crc32(chunk, crc);
      size += chunk.length;
      yield written(chunk);
    }
    yield written(Buffer.concat([u32(0x08074b50), u32(crc), u32(size), u32(size)]));
    entries.push({ name, mode, offset: start, crc, size });
  }
  if (entries.length > MAX_ENTRIES)
    throw new CocosError(
      'LIMIT_EXCEEDED',
      `The folder has more than ${MAX_ENTRIES} files, the limit of a zip without zip64.`,
    );
  const start = offset;
  for (const entry of entries) yield written(centralHeader(entry, epoch));
  const count = u16(entries.length);
  yield Buffer.concat([
    u32(0x06054b50),
    u16(0),
    u16(0),
    count,
    count,
    u32(offset - start),
    u32(start),
    u16(0),
  ]);
}

function centralHeader({ name, mode, offset, crc, size }: Entry, epoch: LocalTime): Buffer {
  const readOnly = (mode & 0o200) === 0 ? 1 : 0;
  const attributes = (0x8000 | (mode & 0o777)) * 0x10000 + readOnly;
  return Buffer.concat([
    ...[u32(0x02014b50), u16(MADE_ON_UNIX), ...common(name, epoch), u32(crc), u32(size), u32(size)],
    ...[...names(name), u16(0), u16(0), u16(0), u32(attributes), u32(offset), name, ...EXTRA],
  ]);
}

/** Fields that both headers of a file share. */
function common(name: Buffer, epoch: LocalTime): Buffer[] {
  const flags = name.every((byte) => byte < 0x80) ? SIZES_BEHIND : SIZES_BEHIND | UTF8_NAME;
  const time = (epoch.getHours() << 11) | (epoch.getMinutes() << 5) | (epoch.getSeconds() >> 1);
  // Years count from 1980; earlier ones wrap around.
  const date = ((epoch.getFullYear() - 1980) << 9) | ((epoch.getMonth() + 1) << 5) | epoch.getDate();
  return [u16(VERSION), u16(flags), u16(0), u16(time), u16(date)];
}

function names(name: Buffer): Buffer[] {
  return [u16(name.length), u16(EXTRA_BYTES)];
}

/** Paths of the regular files below a folder, with slashes, in the order of their bytes. */
async function filesOf(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((cause: unknown) => {
    throw new CocosError('FILE_UNREADABLE', `The folder '${folder}' cannot be read.`, { cause });
  });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .sort((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)));
}

async function* chunksOf(file: string): AsyncGenerator<Buffer> {
  try {
    yield* createReadStream(file, { highWaterMark: CHUNK_BYTES }) as AsyncIterable<Buffer>;
  } catch (cause) {
    throw new CocosError('FILE_UNREADABLE', `The file '${file}' cannot be read.`, { cause });
  }
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value & 0xffff);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
