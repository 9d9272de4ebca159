import { createHash, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { ed25519 } from '@noble/curves/ed25519.js';
import { describe, expect, it } from 'vitest';
import { attestationCrypto } from '../../../src/crypto/attestation-crypto.ts';
import { portableAttestationCrypto } from '../../../src/crypto/portable-attestation-crypto.ts';

/** Keys under which anyone can make a signature. Both ports of the verifier refuse them. */

const ports = [
  ['native', attestationCrypto],
  ['portable', portableAttestationCrypto],
] as const;

/** Encodings of the points of order 1, 2, 4 and 8 (Chalkias, Garillot, Nikolaenko: Taming the many EdDSAs, table 6). */
const SMALL_ORDER = [
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '0000000000000000000000000000000000000000000000000000000000000080',
  '0000000000000000000000000000000000000000000000000000000000000000',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
].map((hex) => new Uint8Array(Buffer.from(hex, 'hex')));

describe.each(ports)('the %s port', (_, port) => {
  const message = new TextEncoder().encode('anything');

  it('refuses Ed25519 keys of small order', () => {
    const zero = new Uint8Array(32);
    for (const key of SMALL_ORDER) {
      for (const r of SMALL_ORDER) {
        const signature = new Uint8Array([...r, ...zero]);
        expect(port.verifyEd25519(key, message, signature)).toBe(false);
      }
    }
  });

  it('accepts an Ed25519 key of a person', () => {
    const { secretKey, publicKey } = ed25519.keygen();
    expect(port.verifyEd25519(publicKey, message, ed25519.sign(message, secretKey))).toBe(true);
  });

  it('refuses an RSA exponent of 1, under which a message is its own signature', () => {
    const modulus = new Uint8Array(256).fill(0xff);
    const info = Buffer.from('3031300d060960864801650304020105000420', 'hex');
    const digest = createHash('sha256').update(message).digest();
    const tail = Buffer.concat([Buffer.of(0), info, digest]);
    const encoded = Buffer.concat([Buffer.of(0, 1), Buffer.alloc(256 - 2 - tail.length, 0xff), tail]);
    for (const exponent of [Uint8Array.of(1), Uint8Array.of(0, 0, 1)]) {
      const key = { modulus, exponent };
      expect(port.verifyRsaPkcs1('sha256', key, message, new Uint8Array(encoded))).toBe(false);
    }
  });

  it('refuses an RSA key that zeros in front make as long as a strong one', () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2040 });
    const { n = '' } = createPublicKey(privateKey).export({ format: 'jwk' });
    const own = Buffer.from(n, 'base64url');
    const modulus = new Uint8Array(Buffer.concat([Buffer.alloc(256 - own.length), own]));
    const key = { modulus, exponent: Uint8Array.of(1, 0, 1) };
    const signature = sign('sha256', message, privateKey);
    for (const bytes of [signature, Buffer.concat([Buffer.alloc(1), signature])])
      expect(port.verifyRsaPkcs1('sha256', key, message, new Uint8Array(bytes))).toBe(false);
  });
});
