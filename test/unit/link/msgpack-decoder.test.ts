import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { Packr, Unpackr } from 'msgpackr';
import { describe, expect, it } from 'vitest';
import { decodeMsgpack } from '../../../src/link/wire/msgpack.ts';

/** An independent decoder of the same format, and its encoder. */
const other = new Unpackr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number' });
const packr = new Packr({ useRecords: false, variableMapSize: true });

function agrees(bytes: Buffer): void {
  // Its byte strings share the buffer.
  // The comparison of the test runner takes long for large values.
  expect(isDeepStrictEqual(decodeMsgpack(bytes), other.unpack(Buffer.from(bytes)))).toBe(true);
}

const anyValue = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.string({ unit: 'grapheme', maxLength: 60 }),
    fc.integer(),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true }),
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    fc.constantFrom(null, true, false, Number.NaN, Number.POSITIVE_INFINITY),
    fc.array(tie('value'), { maxLength: 20 }),
    fc.dictionary(
      fc.string({ maxLength: 30 }).filter((key) => key !== '__proto__'),
      tie('value'),
      { maxKeys: 20, noNullPrototype: true },
    ),
  ),
})).value;

describe('MsgpackDecoder', () => {
  it('agrees with another decoder', () => {
    fc.assert(
      fc.property(anyValue, (value) => agrees(packr.pack(value))),
      { numRuns: 500 },
    );
  });

  it.each([0, 15, 16, 31, 32, 39, 40, 41, 255, 256, 65_535, 65_536])(
    'takes strings, byte strings, lists and maps of %d',
    (count) => {
      agrees(packr.pack('é'.repeat(count / 2)));
      agrees(packr.pack('x'.repeat(count)));
      agrees(packr.pack(Buffer.alloc(count, 7)));
      agrees(packr.pack(Array.from({ length: count }, (_, index) => index)));
      agrees(
        packr.pack(Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, index]))),
      );
    },
  );

  it.each([0, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1])(
    'takes whole numbers around %d',
    (number) => {
      for (const each of [number, number - 1, -number]) agrees(packr.pack(each));
    },
  );

  // Encodings of the specification that the encoder here does not produce.
  it.each<[string, number]>([
    ['ca3fc00000', 1.5],
    ['d0ff', -1],
    ['d18000', -32_768],
    ['d280000000', -2_147_483_648],
    ['d3ffffffffffffffff', -1],
    ['cf0000000000000007', 7],
  ])('accepts %s', (hex, number) => {
    expect(decodeMsgpack(Buffer.from(hex, 'hex'))).toBe(number);
  });

  it('never confuses two short strings', () => {
    // Far more strings than the cache holds, many with the same slot.
    const texts = Array.from({ length: 20_000 }, (_, index) => `${index % 7}/${index.toString(36)}`);
    for (let round = 0; round < 2; round++)
      expect(texts.filter((text) => decodeMsgpack(packr.pack(text)) !== text)).toEqual([]);
  });

  it('reads plain byte arrays and slices of a buffer', () => {
    const framed = new Uint8Array([0, 0, ...packr.pack({ a: 'b' }), 0]);
    expect(decodeMsgpack(framed.subarray(2, framed.length - 1))).toEqual({ a: 'b' });
  });
});
