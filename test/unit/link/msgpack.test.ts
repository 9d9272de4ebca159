import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeMsgpack, encodeMsgpack } from '../../../src/link/wire/msgpack.ts';

const bytes = (...hex: string[]) => Buffer.from(hex.join(''), 'hex');

describe('decodeMsgpack', () => {
  // Encodings from the msgpack specification, by hand.
  it.each([
    ['c0', null],
    ['c3', true],
    ['07', 7],
    ['ff', -1],
    ['cd0100', 256],
    ['cf001fffffffffffff', Number.MAX_SAFE_INTEGER],
    ['cb3ff8000000000000', 1.5],
    ['a3616263', 'abc'],
    ['93010203', [1, 2, 3]],
    ['82a16101a16202', { a: 1, b: 2 }],
  ])('reads %s', (hex, value) => {
    expect(decodeMsgpack(bytes(hex))).toEqual(value);
  });

  it('returns byte strings as copies', () => {
    const source = bytes('c403010203');
    const value = decodeMsgpack(source);
    source.fill(0);
    expect(value).toEqual(Buffer.from([1, 2, 3]));
  });

  it.each([
    ['no bytes', ''],
    ['bytes after the value', 'c0c0'],
    ['an unused tag', 'c1'],
    ['fixext 1 (a record of msgpackr)', 'd47200'],
    ['ext 8', 'c70100ff'],
    ['a timestamp extension', 'd6ff00000000'],
    ['an integer that is not safe', 'cf0020000000000000'],
    ['a negative integer that is not safe', 'd3ffdfffffffffffff'],
    ['a string beyond the end', 'a5616263'],
    ['an array that announces four thousand million items', 'ddffffffff'],
    ['a map that announces as many', 'dfffffffff'],
    ['a map key that is not a string', '810101'],
    ['the key __proto__', `81a9${Buffer.from('__proto__').toString('hex')}80`],
    ['nesting a thousand deep', `${'91'.repeat(1000)}c0`],
  ])('refuses %s', (_what, hex) => {
    expect(() => decodeMsgpack(bytes(hex))).toThrow(expect.objectContaining({ code: 'FRAME_INVALID' }));
  });

  it('throws only its own error for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (input) => {
        try {
          decodeMsgpack(input);
        } catch (thrown) {
          expect(thrown).toMatchObject({ code: 'FRAME_INVALID' });
        }
      }),
      { numRuns: 3000 },
    );
  });

  it('returns plain data or its own error for any damage to a valid message', () => {
    fc.assert(
      fc.property(
        fc.jsonValue({ maxDepth: 4 }),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 }),
        fc.option(fc.nat(), { nil: undefined }),
        (value, changes, cut) => {
          const message = Buffer.from(encodeMsgpack(value));
          for (const [place, byte] of changes) message[place % message.length] = byte;
          const damaged = cut === undefined ? message : message.subarray(0, cut % message.length);
          try {
            expect(isPlain(decodeMsgpack(damaged))).toBe(true);
          } catch (thrown) {
            expect(thrown).toMatchObject({ code: 'FRAME_INVALID' });
          }
        },
      ),
      { numRuns: 3000 },
    );
  });

  it('returns what was encoded', () => {
    const plain = fc
      .jsonValue({ maxDepth: 5 })
      .filter((value) => !JSON.stringify(value).includes('__proto__'));
    fc.assert(
      fc.property(plain, (value) => {
        expect(decodeMsgpack(encodeMsgpack(value))).toEqual(normalised(value));
      }),
    );
  });
});

/** JSON has a negative zero; integers of msgpack do not. */
function normalised(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

/** Whether a value contains only types of the format: no other prototypes and no bigint. */
function isPlain(value: unknown): boolean {
  if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) return true;
  if (value instanceof Uint8Array) return true;
  if (Array.isArray(value)) return value.every(isPlain);
  if (typeof value !== 'object') return false;
  return Object.getPrototypeOf(value) === Object.prototype && Object.values(value).every(isPlain);
}
