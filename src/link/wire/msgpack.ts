import { Packr } from 'msgpackr';
import { MsgpackDecoder } from './msgpack-decoder.ts';

/**
 * Standard msgpack only. The decoder of msgpackr knows extensions (records, dates, undefined) that a peer could use
 * against us, so it is used for writing alone.
 */

const packr = new Packr({ useRecords: false, encodeUndefinedAsNil: true, variableMapSize: true });
const decoder = new MsgpackDecoder();

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
  return decoder.decode(bytes);
}
