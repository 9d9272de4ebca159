import { describe, expect, it } from 'vitest';
import {
  equal,
  expectLength,
  fromBase64Url,
  fromHex,
  fromUtf8,
  lengthPrefixed,
  toBase64Url,
  toHex,
  utf8,
} from '../../../src/crypto/bytes.ts';
import { codeOf } from './support.ts';

describe('toBase64Url', () => {
  // RFC 4648 section 10, without padding, and two bytes that need the URL alphabet.
  it.each([
    ['', ''],
    ['f', 'Zg'],
    ['fo', 'Zm8'],
    ['foo', 'Zm9v'],
    ['foobar', 'Zm9vYmFy'],
  ])('writes %j as %j', (text, encoded) => {
    expect(toBase64Url(utf8(text))).toBe(encoded);
    expect(fromUtf8(fromBase64Url(encoded), 'text')).toBe(text);
  });

  it('uses the URL alphabet', () => {
    expect(toBase64Url(Uint8Array.of(0xfb, 0xff))).toBe('-_8');
  });
});

describe('fromBase64Url', () => {
  it.each(['Zg==', 'Zh', 'Z', '+/8', 'Z g', 'Zm9v\n'])(
    'refuses %j, which is not the canonical text',
    (text) => {
      expect(codeOf(() => fromBase64Url(text))).toBe('INPUT_INVALID');
    },
  );
});

describe('fromHex', () => {
  it('reads both cases and toHex writes lower case', () => {
    expect(toHex(fromHex('00fFA1'))).toBe('00ffa1');
  });

  it.each(['0', '0g', ' 00', '0x00'])('refuses %j', (text) => {
    expect(codeOf(() => fromHex(text))).toBe('INPUT_INVALID');
  });
});

describe('lengthPrefixed', () => {
  it('distinguishes lists with equal concatenations', () => {
    expect(toHex(lengthPrefixed(utf8('ab'), utf8('c')))).toBe('00000002616200000001' + '63');
    expect(toHex(lengthPrefixed(utf8('a'), utf8('bc')))).toBe('00000001' + '61' + '00000002' + '6263');
  });
});

describe('equal', () => {
  it('is false for another byte or another length', () => {
    expect(equal(utf8('abc'), utf8('abc'))).toBe(true);
    expect(equal(utf8('abc'), utf8('abd'))).toBe(false);
    expect(equal(utf8('abc'), utf8('ab'))).toBe(false);
  });
});

describe('expectLength', () => {
  it('throws the code of the caller', () => {
    expect(codeOf(() => expectLength(new Uint8Array(31), 32, 'key'))).toBe('INPUT_INVALID');
    expect(codeOf(() => expectLength(new Uint8Array(33), 32, 'key', 'CRYPTO_KEY_INVALID'))).toBe(
      'CRYPTO_KEY_INVALID',
    );
  });
});

describe('fromUtf8', () => {
  it('refuses bytes that are not UTF-8', () => {
    expect(codeOf(() => fromUtf8(Uint8Array.of(0xc0, 0x80), 'text'))).toBe('INPUT_INVALID');
  });
});
