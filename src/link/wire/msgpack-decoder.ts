import { CocosError } from '../../errors.ts';

/**
 * A one-pass decoder of standard msgpack for bytes that a hostile peer chose. It refuses everything outside the plain
 * format immediately, allocates nothing for a length that exceeds the remaining bytes, and returns values that share
 * no memory with the buffer.
 */

const DEPTH_LIMIT = 24;
/** Strings up to this many bytes are cached: names of fields, types and addresses. */
const SHORT_BYTES = 40;
/** A power of two. Slots are overwritten, so a peer can make the cache useless but not large. */
const CACHE_SLOTS = 1024;

interface SeenString {
  readonly bytes: Uint8Array;
  readonly text: string;
}

export class MsgpackDecoder {
  private bytes: Buffer = Buffer.alloc(0);
  private at = 0;
  /** Values that may still come. */
  private left = 0;
  private readonly seen: (SeenString | null)[] = Array.from({ length: CACHE_SLOTS }, () => null);

  /**
   * @param values how many values maps and lists may hold together: an empty map takes one byte here, and some seventy
   * in memory
   * @throws CocosError FRAME_INVALID if `bytes` is not exactly one value of standard msgpack
   */
  decode(bytes: Uint8Array, values = Number.POSITIVE_INFINITY): unknown {
    this.bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.at = 0;
    this.left = values;
    const value = this.value(0);
    if (this.at !== bytes.length) refuse('bytes after the value');
    return value;
  }

  private take(count: number): number {
    const start = this.at;
    if (count > this.bytes.length - start) refuse('a length beyond the end');
    this.at = start + count;
    return start;
  }

  private byte(): number {
    const byte = this.bytes[this.at];
    if (byte === undefined) refuse('a length beyond the end');
    this.at += 1;
    return byte;
  }

  private uint16(): number {
    return this.byte() * 0x100 + this.byte();
  }

  private uint32(): number {
    return this.uint16() * 0x10000 + this.uint16();
  }

  private value(depth: number): unknown {
    if (depth > DEPTH_LIMIT) refuse('nesting too deep');
    const tag = this.byte();
    if (tag <= 0x7f) return tag;
    if (tag >= 0xe0) return tag - 0x100;
    if (tag <= 0x8f) return this.map(tag & 0x0f, depth);
    if (tag <= 0x9f) return this.array(tag & 0x0f, depth);
    if (tag <= 0xbf) return this.text(tag & 0x1f);
    switch (tag) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
        return this.binary(this.byte());
      case 0xc5:
        return this.binary(this.uint16());
      case 0xc6:
        return this.binary(this.uint32());
      case 0xd9:
        return this.text(this.byte());
      case 0xda:
        return this.text(this.uint16());
      case 0xdb:
        return this.text(this.uint32());
      case 0xdc:
        return this.array(this.uint16(), depth);
      case 0xdd:
        return this.array(this.uint32(), depth);
      case 0xde:
        return this.map(this.uint16(), depth);
      case 0xdf:
        return this.map(this.uint32(), depth);
      default:
        return this.number(tag);
    }
  }

  private number(tag: number): number {
    switch (tag) {
      case 0xca:
        return this.bytes.readFloatBE(this.take(4));
      case 0xcb:
        return this.bytes.readDoubleBE(this.take(8));
      case 0xcc:
        return this.byte();
      case 0xcd:
        return this.uint16();
      case 0xce:
        return this.uint32();
      case 0xcf:
        return safe(this.bytes.readBigUInt64BE(this.take(8)));
      case 0xd0:
        return this.bytes.readInt8(this.take(1));
      case 0xd1:
        return this.bytes.readInt16BE(this.take(2));
      case 0xd2:
        return this.bytes.readInt32BE(this.take(4));
      case 0xd3:
        return safe(this.bytes.readBigInt64BE(this.take(8)));
      default:
        return refuse('an extension or unused tag');
    }
  }

  private array(count: number, depth: number): unknown[] {
    this.expect(count, count);
    // With its length, which the bytes that are left bound: growing would allocate room for seventeen.
    const items = new Array<unknown>(count);
    for (let index = 0; index < count; index++) items[index] = this.value(depth + 1);
    return items;
  }

  private map(count: number, depth: number): Record<string, unknown> {
    this.expect(count, 2 * count);
    const entries: Record<string, unknown> = {};
    for (let index = 0; index < count; index++) {
      const key = this.key();
      entries[key] = this.value(depth + 1);
    }
    return entries;
  }

  /** Every value, and every key, takes at least one byte. */
  private expect(values: number, bytes: number): void {
    if (bytes > this.bytes.length - this.at) refuse('a length beyond the end');
    this.left -= values;
    if (this.left < 0) refuse('too many values');
  }

  private key(): string {
    const tag = this.byte();
    let size: number;
    if (tag >= 0xa0 && tag <= 0xbf) size = tag & 0x1f;
    else if (tag === 0xd9) size = this.byte();
    else if (tag === 0xda) size = this.uint16();
    else refuse('a map key that is not a short string');
    const key = this.text(size);
    if (key === '__proto__') refuse('a map key that is not allowed');
    return key;
  }

  private binary(size: number): Uint8Array {
    const start = this.take(size);
    return Buffer.from(this.bytes.subarray(start, start + size));
  }

  private text(size: number): string {
    const start = this.take(size);
    if (size > SHORT_BYTES) return this.bytes.toString('utf8', start, start + size);
    let hash = size;
    for (let at = start; at < start + size; at++) hash = (Math.imul(hash, 31) + (this.bytes[at] ?? 0)) | 0;
    const slot = (hash ^ (hash >>> 12)) & (CACHE_SLOTS - 1);
    const known = this.seen[slot];
    if (known !== null && known !== undefined && this.holds(known.bytes, start, size)) return known.text;
    const text = this.bytes.toString('utf8', start, start + size);
    this.seen[slot] = { bytes: new Uint8Array(this.bytes.subarray(start, start + size)), text };
    return text;
  }

  private holds(expected: Uint8Array, start: number, size: number): boolean {
    if (expected.length !== size) return false;
    for (let index = 0; index < size; index++) {
      if (expected[index] !== this.bytes[start + index]) return false;
    }
    return true;
  }
}

function safe(integer: bigint): number {
  const number = Number(integer);
  if (!Number.isSafeInteger(number)) refuse('an integer too large');
  return number;
}

function refuse(reason: string): never {
  throw new CocosError('FRAME_INVALID', `The peer sent malformed msgpack: ${reason}.`);
}
