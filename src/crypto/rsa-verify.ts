import type { RsaPublicKey, SignatureHash } from './crypto-port.ts';

/** Verification of RSA signatures (RFC 8017) with plain arithmetic on public values, for runtimes without native code. */

/** Accepted key sizes: smaller keys are weak, larger ones could exhaust a verifier. */
const MODULUS_BYTES = { least: 256, most: 1024 } as const;
const EXPONENT_BYTES = 4;
const PSS_TRAILER = 0xbc;

type Hash = (data: Uint8Array) => Uint8Array;

/** DER of DigestInfo up to the digest (RFC 8017 section 9.2, note 1). */
const DIGEST_INFO: Readonly<Record<SignatureHash, readonly number[]>> = {
  sha256: [0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20],
  sha384: [0x30, 0x41, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2, 5, 0, 4, 0x30],
  sha512: [0x30, 0x51, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3, 5, 0, 4, 0x40],
};

function numberOf(bytes: Uint8Array): bigint {
  let hex = '0x0';
  for (const byte of bytes) hex += byte.toString(16).padStart(2, '0');
  return BigInt(hex);
}

function bytesOf(value: bigint, size: number): Uint8Array {
  const hex = value.toString(16).padStart(size * 2, '0');
  return Uint8Array.from({ length: size }, (_, i) => Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16));
}

function power(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  let square = base % modulus;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) result = (result * square) % modulus;
    square = (square * square) % modulus;
  }
  return result;
}

/** RSAVP1: the encoded message, as long as the modulus; null for an impossible key or signature. */
function open({ modulus, exponent }: RsaPublicKey, signature: Uint8Array): Uint8Array | null {
  const size = modulus.length;
  if (size < MODULUS_BYTES.least || size > MODULUS_BYTES.most || exponent.length > EXPONENT_BYTES)
    return null;
  const n = numberOf(modulus);
  const e = numberOf(exponent);
  const s = numberOf(signature);
  if (modulus[0] === 0 || (n & 1n) === 0n || e < 3n || (e & 1n) === 0n) return null;
  if (signature.length !== size || s >= n) return null;
  return bytesOf(power(s, e, n), size);
}

const same = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, index) => byte === b[index]);

/** RSASSA-PKCS1-v1_5: the whole encoding is compared, since a message has only one. */
export function rsaPkcs1Verify(
  hashName: SignatureHash,
  hash: Hash,
  key: RsaPublicKey,
  message: Uint8Array,
  signature: Uint8Array,
): boolean {
  const encoded = open(key, signature);
  if (encoded === null) return false;
  const info = [...DIGEST_INFO[hashName], ...hash(message)];
  const expected = new Uint8Array(encoded.length).fill(0xff);
  expected[0] = 0;
  expected[1] = 1;
  expected[expected.length - info.length - 1] = 0;
  expected.set(info, expected.length - info.length);
  return same(encoded, expected);
}

/** MGF1 (RFC 8017 appendix B.2.1). */
function mask(seed: Uint8Array, size: number, hash: Hash): Uint8Array {
  const out: number[] = [];
  for (let counter = 0; out.length < size; counter += 1) {
    const block = new Uint8Array(seed.length + 4);
    block.set(seed);
    new DataView(block.buffer).setUint32(seed.length, counter);
    out.push(...hash(block));
  }
  return Uint8Array.from(out.slice(0, size));
}

/** RSASSA-PSS with MGF1 over the same hash. @param saltBytes null if the signature determines it */
export function rsaPssVerify(
  hash: Hash,
  key: RsaPublicKey,
  message: Uint8Array,
  signature: Uint8Array,
  saltBytes: number | null,
): boolean {
  const opened = open(key, signature);
  if (opened === null) return false;
  const digest = hash(message);
  // The encoding has one bit less than the modulus; if that makes a whole byte, the first byte is zero.
  const bits = 8 * opened.length - Math.clz32(key.modulus[0] ?? 0) + 24 - 1;
  const size = Math.ceil(bits / 8);
  const encoded = opened.subarray(opened.length - size);
  if (opened.length > size && opened[0] !== 0) return false;
  const dbBytes = size - digest.length - 1;
  const unused = 8 * size - bits;
  if (dbBytes < 1 || encoded[size - 1] !== PSS_TRAILER || (encoded[0] ?? 0) >> (8 - unused) !== 0)
    return false;
  const seed = encoded.subarray(dbBytes, size - 1);
  const db = mask(seed, dbBytes, hash).map((byte, index) => byte ^ (encoded[index] ?? 0));
  db[0] = (db[0] ?? 0) & (0xff >> unused);
  const one = db.findIndex((byte) => byte !== 0);
  const salt = db.subarray(one + 1);
  if (db[one] !== 1 || (saltBytes !== null && salt.length !== saltBytes)) return false;
  const inner = new Uint8Array(8 + digest.length + salt.length);
  inner.set(digest, 8);
  inner.set(salt, 8 + digest.length);
  return same(hash(inner), seed);
}
