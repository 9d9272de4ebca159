import { createRequire } from 'node:module';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex, utf8 } from '../../../src/crypto/bytes.ts';
import {
  canonicalDigest,
  canonicalJson,
  createDigest,
  digestFromText,
  portableHash,
  sha256Text,
} from '../../../src/crypto/digest.ts';
import { codeOf } from './support.ts';

// FIPS 180-4 example: SHA-256 of "abc".
const ABC = 'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';

/** An independent implementation of RFC 8785. */
const reference: (value: unknown) => string | undefined = createRequire(import.meta.url)('canonicalize');

describe('sha256Text', () => {
  it('returns the digest of the standard', () => {
    expect(sha256Text(utf8('abc'))).toBe(ABC);
  });
});

describe('createDigest', () => {
  it('returns the digest of all chunks and counts their bytes', () => {
    const digest = createDigest();
    digest.update(utf8('a'));
    digest.update(utf8('bc'));
    expect(digest.size).toBe(3);
    expect(digest.finish()).toBe(ABC);
  });
});

describe('createDigest of SHA3-256', () => {
  it('returns the digest of FIPS 202', () => {
    const digest = createDigest('sha3-256');
    digest.update(utf8('abc'));
    expect(digest.finish()).toBe('sha3-256:3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532');
  });
});

describe('portableHash', () => {
  it.each(['sha256', 'sha3-256'] as const)('equals the native %s for any chunks', (name) => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300, size: 'max' }), { maxLength: 5 }), (pieces) => {
        const native = createDigest(name);
        const portable = portableHash(name);
        for (const piece of pieces) {
          native.update(piece);
          portable.update(piece);
        }
        expect(native.finish()).toBe(`${name}:${toHex(portable.digest())}`);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('digestFromText', () => {
  it('reads the text form', () => {
    expect(`sha256:${toHex(digestFromText(ABC))}`).toBe(ABC);
  });

  it.each(['', ABC.slice(7), ABC.toUpperCase(), `${ABC}0`, ABC.slice(0, -1), ABC.replace('256', '512')])(
    'refuses %j',
    (text) => {
      expect(codeOf(() => digestFromText(text))).toBe('INPUT_INVALID');
    },
  );
});

describe('canonicalJson', () => {
  it('returns the results of RFC 8785 sections 3.2.2 and 3.2.3', () => {
    const value: unknown = JSON.parse(
      '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],' +
        '"string":"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/","literals":[null,true,false]}',
    );
    expect(canonicalJson(value)).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
  });

  it('sorts keys by UTF-16 code units (RFC 8785 section 3.2.3)', () => {
    const value = {
      '\u20ac': 'Euro Sign',
      '\r': 'Carriage Return',
      '\ufb33': 'Hebrew Letter Dalet With Dagesh',
      1: 'One',
      '\ud83d\ude00': 'Emoji: Grinning Face',
      '\u0080': 'Control',
      ö: 'Latin Small Letter O With Diaeresis',
    };
    const order = [...canonicalJson(value).matchAll(/:"([^"]+)"/g)].map((match) => match[1]);
    expect(order).toEqual([
      'Carriage Return',
      'One',
      'Control',
      'Latin Small Letter O With Diaeresis',
      'Euro Sign',
      'Emoji: Grinning Face',
      'Hebrew Letter Dalet With Dagesh',
    ]);
  });

  it('equals an independent implementation for any JSON value', () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'grapheme' }), (value) => {
        expect(canonicalJson(value)).toBe(reference(value));
      }),
    );
  });

  it('omits undefined properties', () => {
    expect(canonicalJson({ b: 1, a: undefined })).toBe('{"b":1}');
  });

  const deep = JSON.parse(`${'['.repeat(70)}${']'.repeat(70)}`) as unknown;
  it.each([
    ['undefined', undefined],
    ['NaN', Number.NaN],
    ['an infinity', [Number.POSITIVE_INFINITY]],
    ['undefined in an array', [undefined]],
    ['bytes', { a: new Uint8Array(2) }],
    ['a date', new Date(0)],
    ['a bigint', 1n],
    ['a function', () => 1],
    ['a lone surrogate', 'a\ud800'],
    ['a lone surrogate in a key', { '\udc00': 1 }],
    ['nesting without end', deep],
  ])('refuses %s', (_what, value) => {
    expect(codeOf(() => canonicalJson(value))).toBe('INPUT_INVALID');
  });
});

describe('canonicalDigest', () => {
  it('depends on the values but not on the order of keys', () => {
    expect(canonicalDigest({ a: 1, b: [2] })).toBe(canonicalDigest({ b: [2], a: 1 }));
    expect(canonicalDigest({ a: 1, b: [2] })).toBe(sha256Text(utf8('{"a":1,"b":[2]}')));
    expect(canonicalDigest({ a: 1, b: [3] })).not.toBe(canonicalDigest({ a: 1, b: [2] }));
  });
});
