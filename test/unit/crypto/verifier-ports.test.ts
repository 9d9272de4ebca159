import {
  constants,
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from 'node:crypto';
import { ed25519 } from '@noble/curves/ed25519.js';
import { describe, expect, it } from 'vitest';
import { createAttestationCrypto } from '../../../src/crypto/attestation-crypto.ts';
import { portableAttestationCrypto } from '../../../src/crypto/portable-attestation-crypto.ts';

/** The two ports of the verifier give one verdict, also for keys and signatures that no honest signer makes. */

const ports = () =>
  [
    ['native', createAttestationCrypto()],
    ['portable', portableAttestationCrypto],
  ] as const;

const message = new TextEncoder().encode('hello');
const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 } as const;

function publicKeyOf(key: KeyObject) {
  const { n = '', e = '' } = createPublicKey(key).export({ format: 'jwk' });
  const bytes = (text: string) => new Uint8Array(Buffer.from(text, 'base64url'));
  return { modulus: bytes(n), exponent: bytes(e) };
}

/** A signature that begins with a zero byte: one of 256 does. */
function signatureWithZero(key: KeyObject, options: object): { message: Uint8Array; signature: Uint8Array } {
  for (let round = 0; ; round += 1) {
    const text = new TextEncoder().encode(`message ${round}`);
    const signature = sign('sha256', text, { key, ...options });
    if (signature[0] === 0) return { message: text, signature: Uint8Array.from(signature) };
  }
}

const { CURVE } = ed25519.Point;
const ORDER = CURVE().n;
const BASE = ed25519.Point.BASE;
/** A point of order 8. */
const EIGHT = ed25519.Point.fromHex('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a');
const littleEndian = (value: bigint): Uint8Array =>
  Uint8Array.from({ length: 32 }, (_, index) => Number((value >> BigInt(8 * index)) & 255n));
const numberOf = (bytes: Uint8Array): bigint =>
  bytes.reduceRight((number, byte) => number * 256n + BigInt(byte), 0n);

/** A key a*B + T and a signature with R = r*B + U, where T and U are multiples of the point of order 8. */
function ed25519Case(secret: bigint, nonce: bigint, keyTorsion: bigint, pointTorsion: bigint) {
  const withTorsion = (point: typeof BASE, times: bigint) =>
    (times === 0n ? point : point.add(EIGHT.multiplyUnsafe(times))).toBytes();
  const key = withTorsion(BASE.multiply(secret), keyTorsion);
  const point = withTorsion(BASE.multiply(nonce), pointTorsion);
  const digest = createHash('sha512').update(point).update(key).update(message).digest();
  const challenge = numberOf(digest) % ORDER;
  const scalar = littleEndian((nonce + challenge * secret) % ORDER);
  return { key, signature: new Uint8Array([...point, ...scalar]) };
}

describe('Both ports of the verifier', () => {
  it('refuse an RSA signature that is shorter or longer than the modulus', () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const key = publicKeyOf(privateKey);
    const pss = signatureWithZero(privateKey, PSS);
    const pkcs1 = signatureWithZero(privateKey, {});
    for (const [, port] of ports()) {
      const isPss = (bytes: Uint8Array, salt: number | null) =>
        port.verifyRsaPss('sha256', key, pss.message, bytes, salt);
      const isPkcs1 = (bytes: Uint8Array) => port.verifyRsaPkcs1('sha256', key, pkcs1.message, bytes);
      for (const salt of [32, null]) {
        expect(isPss(pss.signature, salt)).toBe(true);
        expect(isPss(pss.signature.slice(1), salt)).toBe(false);
        expect(isPss(Uint8Array.of(0, ...pss.signature), salt)).toBe(false);
      }
      expect(isPkcs1(pkcs1.signature)).toBe(true);
      expect(isPkcs1(pkcs1.signature.slice(1))).toBe(false);
      expect(isPkcs1(Uint8Array.of(0, ...pkcs1.signature))).toBe(false);
    }
  });

  it('accept Ed25519 keys and signatures of the prime-order subgroup only', () => {
    for (const [name, port] of ports()) {
      for (let secret = 1234567890123456789n; secret < 1234567890123456797n; secret += 1n) {
        for (const keyTorsion of [0n, 1n, 2n, 4n]) {
          for (const pointTorsion of [0n, 1n, 2n, 4n]) {
            const { key, signature } = ed25519Case(secret, secret * 7n, keyTorsion, pointTorsion);
            const isValid = keyTorsion === 0n && pointTorsion === 0n;
            const found = port.verifyEd25519(key, message, signature);
            expect([name, keyTorsion, pointTorsion, found]).toEqual([
              name,
              keyTorsion,
              pointTorsion,
              isValid,
            ]);
          }
        }
      }
    }
  });

  it('never take one RSA key for another whose bytes follow each other alike', () => {
    // 0x20 is the space: exponent 3, then a modulus that begins with the rest of this exponent.
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 0x0320f1 });
    const own = publicKeyOf(privateKey);
    const alike = {
      exponent: own.exponent.slice(0, 1),
      modulus: new Uint8Array([...own.exponent.slice(2), 0x20, ...own.modulus]),
    };
    const signature = Uint8Array.from(sign('sha256', message, privateKey));
    for (const [, port] of ports()) {
      expect(port.verifyRsaPkcs1('sha256', own, message, signature)).toBe(true);
      for (const bytes of [signature, new Uint8Array([0, 0, ...signature])])
        expect(port.verifyRsaPkcs1('sha256', alike, message, bytes)).toBe(false);
    }
  });
});
