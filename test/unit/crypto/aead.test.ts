import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AeadName, aeadOpen, aeadSeal, nativeAead, portableAead } from '../../../src/crypto/aead.ts';
import { concat, fromHex, toHex, utf8 } from '../../../src/crypto/bytes.ts';
import { codeOf, flip } from './support.ts';

const NAMES: readonly AeadName[] = ['chacha20-poly1305', 'aes-256-gcm'];

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });

describe('aeadSeal', () => {
  it('produces the ciphertext and tag of RFC 8439 section 2.8.2', () => {
    const sealed = aeadSeal(
      'chacha20-poly1305',
      fromHex('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f'),
      fromHex('070000004041424344454647'),
      fromHex('50515253c0c1c2c3c4c5c6c7'),
      utf8(
        "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
      ),
    );
    expect(toHex(sealed).slice(0, 32)).toBe('d31a8d34648e60db7b86afbc53ef7ec2');
    expect(toHex(sealed).slice(-32)).toBe('1ae10b594f09e26a7e902ecbd0600691');
  });

  it('passes test case 14 of the GCM specification for AES-256-GCM', () => {
    const zeros = (length: number) => new Uint8Array(length);
    const sealed = aeadSeal('aes-256-gcm', zeros(32), zeros(12), zeros(0), zeros(16));
    expect(toHex(sealed)).toBe('cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919');
  });

  it.each(NAMES)('produces the same bytes natively and portably with %s', (name) => {
    const native = nativeAead(name);
    if (native === undefined) return expect.fail(`this runtime has no native ${name}`);
    const portable = portableAead(name);
    fc.assert(
      fc.property(
        bytes(32),
        bytes(12),
        fc.uint8Array({ maxLength: 80 }),
        fc.uint8Array({ maxLength: 600, size: 'max' }),
        (key, nonce, aad, plaintext) => {
          const sealed = native.seal(key, nonce, aad, plaintext);
          expect(toHex(sealed)).toBe(toHex(portable.seal(key, nonce, aad, plaintext)));
          expect(toHex(native.open(key, nonce, aad, sealed))).toBe(toHex(plaintext));
          expect(toHex(portable.open(key, nonce, aad, sealed))).toBe(toHex(plaintext));
          // Also in place.
          const memory = concat(plaintext, new Uint8Array(16));
          expect(toHex(native.seal(key, nonce, aad, memory.subarray(0, -16), memory))).toBe(toHex(sealed));
          expect(toHex(native.open(key, nonce, aad, memory, memory.subarray(0, -16)))).toBe(toHex(plaintext));
        },
      ),
      { numRuns: 1_000 },
    );
  });
});

describe('aeadSeal in chunks', () => {
  it.each(NAMES)('seals a segment longer than a chunk as one message with %s', (name) => {
    const key = new Uint8Array(32).fill(3);
    const nonce = new Uint8Array(12).fill(4);
    for (const length of [32_767, 32_768, 32_769, 65_536, 100_001]) {
      const plaintext = Uint8Array.from({ length }, (_, index) => (index * 7) & 0xff);
      const sealed = aeadSeal(name, key, nonce, utf8('aad'), plaintext);
      expect(toHex(sealed)).toBe(toHex(portableAead(name).seal(key, nonce, utf8('aad'), plaintext)));
      expect(toHex(aeadOpen(name, key, nonce, utf8('aad'), sealed))).toBe(toHex(plaintext));
    }
  });
});

describe('aeadOpen', () => {
  const key = new Uint8Array(32).fill(1);
  const nonce = new Uint8Array(12).fill(2);
  const aad = utf8('aad');

  describe.each(NAMES)('%s', (name) => {
    const sealed = aeadSeal(name, key, nonce, aad, utf8('secret'));
    it.each([
      ['an altered ciphertext', () => aeadOpen(name, key, nonce, aad, flip(sealed))],
      ['an altered tag', () => aeadOpen(name, key, nonce, aad, flip(sealed, -1))],
      ['a truncated ciphertext', () => aeadOpen(name, key, nonce, aad, sealed.subarray(1))],
      ['bytes shorter than a tag', () => aeadOpen(name, key, nonce, aad, sealed.subarray(0, 15))],
      ['other associated data', () => aeadOpen(name, key, nonce, utf8('Aad'), sealed)],
      ['another nonce', () => aeadOpen(name, key, flip(nonce), aad, sealed)],
      ['another key', () => aeadOpen(name, flip(key), nonce, aad, sealed)],
    ])('refuses %s', (_what, run) => {
      expect(codeOf(run)).toBe('CRYPTO_OPEN_FAILED');
    });

    it('refuses an altered tag over an empty message with either implementation', () => {
      const empty = new Uint8Array(0);
      const tag = flip(aeadSeal(name, key, nonce, aad, empty));
      expect(codeOf(() => aeadOpen(name, key, nonce, aad, tag))).toBe('CRYPTO_OPEN_FAILED');
      expect(() => portableAead(name).open(key, nonce, aad, tag)).toThrow();
    });

    it('refuses keys and nonces of the wrong length and names them', () => {
      expect(codeOf(() => aeadOpen(name, key.subarray(1), nonce, aad, sealed))).toBe('INPUT_INVALID');
      expect(codeOf(() => aeadSeal(name, key, nonce.subarray(1), aad, sealed))).toBe('INPUT_INVALID');
    });
  });
});
