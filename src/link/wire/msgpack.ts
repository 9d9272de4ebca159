import { Packr } from 'msgpackr';
import { MsgpackDecoder } from './msgpack-decoder.ts';

/**
 * Standard msgpack only. The decoder of msgpackr accepts extensions (records, dates, undefined) that a peer could
 * exploit, so msgpackr is used for encoding only.
 */

const packr = new Packr({ useRecords: false, encodeUndefinedAsNil: true, variableMapSize: true });
const decoder = new MsgpackDecoder();

/** Encodes plain data; `undefined` becomes nil. */
export function encodeMsgpack(value: unknown): Uint8Array {
  return packr.pack(value);
}

/**
 * Decodes exactly one value of standard msgpack. Byte strings are copies.
 *
 * @param values how many values maps and lists may hold together; any number by default
 * @throws CocosError FRAME_INVALID for extensions, deep nesting, unsafe integers, trailing or missing bytes.
 */
export function decodeMsgpack(bytes: Uint8Array, values?: number): unknown {
  return decoder.decode(bytes, values);
}
