import { Packr, Unpackr } from 'msgpackr';
import { CocosError } from '../errors.ts';

/**
 * Standard msgpack only. The decoder of msgpackr knows extensions (records, dates, undefined) that a peer
 * could use against us, so the bytes are walked first and everything outside the plain format is refused.
 */

const DEPTH_LIMIT = 24;

const packr = new Packr({ useRecords: false, encodeUndefinedAsNil: true, variableMapSize: true });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number' });

function refuse(reason: string): never {
  throw new CocosError('FRAME_INVALID', `Refused msgpack: ${reason}.`);
}

class Walker {
  private at = 0;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  check(): void {
    this.value(0);
    if (this.at !== this.bytes.length) refuse('bytes after the value');
  }

  private take(count: number): number {
    const start = this.at;
    if (count > this.bytes.length - start) refuse('a length beyond the end');
    this.at = start + count;
    return start;
  }

  private length(width: 1 | 2 | 4): number {
    const start = this.take(width);
    if (width === 1) return this.view.getUint8(start);
    return width === 2 ? this.view.getUint16(start) : this.view.getUint32(start);
  }

  private items(count: number, depth: number): void {
    for (let index = 0; index < count; index++) this.value(depth + 1);
  }

  private entries(count: number, depth: number): void {
    for (let index = 0; index < count; index++) {
      this.key();
      this.value(depth + 1);
    }
  }

  private key(): void {
    const tag = this.view.getUint8(this.take(1));
    let size: number;
    if (tag >= 0xa0 && tag <= 0xbf) size = tag & 0x1f;
    else if (tag === 0xd9) size = this.length(1);
    else if (tag === 0xda) size = this.length(2);
    else refuse('a map key that is not a short string');
    const start = this.take(size);
    const text = Buffer.from(this.bytes.buffer, this.bytes.byteOffset + start, size).toString('latin1');
    if (text === '__proto__') refuse('a map key that is not allowed');
  }

  private value(depth: number): void {
    if (depth > DEPTH_LIMIT) refuse('nesting too deep');
    const tag = this.view.getUint8(this.take(1));
    if (tag <= 0x7f || tag >= 0xe0) return;
    if (tag <= 0x8f) return this.entries(tag & 0x0f, depth);
    if (tag <= 0x9f) return this.items(tag & 0x0f, depth);
    if (tag <= 0xbf) return void this.take(tag & 0x1f);
    switch (tag) {
      case 0xc0:
      case 0xc2:
      case 0xc3:
        return;
      case 0xc4:
      case 0xd9:
        return void this.take(this.length(1));
      case 0xc5:
      case 0xda:
        return void this.take(this.length(2));
      case 0xc6:
      case 0xdb:
        return void this.take(this.length(4));
      case 0xca:
      case 0xce:
      case 0xd2:
        return void this.take(4);
      case 0xcb:
        return void this.take(8);
      case 0xcc:
      case 0xd0:
        return void this.take(1);
      case 0xcd:
      case 0xd1:
        return void this.take(2);
      case 0xcf:
        if (this.view.getBigUint64(this.take(8)) > BigInt(Number.MAX_SAFE_INTEGER))
          refuse('an integer too large');
        return;
      case 0xd3: {
        const integer = this.view.getBigInt64(this.take(8));
        if (integer < BigInt(Number.MIN_SAFE_INTEGER) || integer > BigInt(Number.MAX_SAFE_INTEGER)) {
          refuse('an integer too large');
        }
        return;
      }
      case 0xdc:
        return this.items(this.length(2), depth);
      case 0xdd:
        return this.items(this.length(4), depth);
      case 0xde:
        return this.entries(this.length(2), depth);
      case 0xdf:
        return this.entries(this.length(4), depth);
      default:
        refuse('an extension or unused tag');
    }
  }
}

/** Encodes a value of plain data; `undefined` is written as nil. */
export function encodeMsgpack(value: unknown): Uint8Array {
  return packr.pack(value);
}

/**
 * Decodes exactly one value of standard msgpack. Byte strings are copies.
 *
 * @throws CocosError FRAME_INVALID for extensions, deep nesting, unsafe integers, trailing or missing bytes.
 */
export function decodeMsgpack(bytes: Uint8Array): unknown {
  if (bytes.length === 0) refuse('no value');
  new Walker(bytes).check();
  // A copy, since decoded byte strings alias the buffer they were read from.
  return unpackr.unpack(Buffer.from(bytes));
}
