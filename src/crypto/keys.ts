import { CocosError } from '../errors.ts';
import { fromBase64Url, toBase64Url } from './bytes.ts';
import { canonicalDigest } from './digest.ts';
import { generateKemKeyPair, kemOf } from './hpke.ts';
import type { KemKeyPair, KemName } from './kem.ts';
import { generateSigningKeyPair, SIGNING_KEY_BYTES, type SigningKeyPair } from './signing.ts';

/** Participants' keys and the text forms of public keys in manifests and key files. */

/** The keys of a participant: Ed25519 for signatures, a KEM key pair for receiving results. */
export interface ParticipantKeys {
  readonly signing: SigningKeyPair;
  readonly kem: KemKeyPair & { readonly kem: KemName };
}

export interface KemPublicKey {
  readonly kem: KemName;
  readonly publicKey: Uint8Array;
}

/** Fresh keys of a participant; X-Wing by default. */
export function generateParticipantKeys(kem: KemName = 'x-wing'): ParticipantKeys {
  return { signing: generateSigningKeyPair(), kem: { kem, ...generateKemKeyPair(kem) } };
}

/** `ed25519:` and the base64url of the 32 bytes. */
export function encodeSigningKey(publicKey: Uint8Array): string {
  return `ed25519:${toBase64Url(publicKey)}`;
}

/** @throws CocosError CRYPTO_KEY_INVALID if the text is not an Ed25519 public key */
export function parseSigningKey(text: string): Uint8Array {
  const [scheme, bytes] = splitKey(text);
  if (scheme !== 'ed25519') throw wrongKey('ed25519', scheme);
  if (bytes.length !== SIGNING_KEY_BYTES) throw wrongLength(scheme, SIGNING_KEY_BYTES, bytes.length);
  return bytes;
}

/** `x-wing:` or `x25519:` and the base64url of the public key. */
export function encodeKemKey(key: KemPublicKey): string {
  return `${key.kem}:${toBase64Url(key.publicKey)}`;
}

/** @throws CocosError CRYPTO_KEY_INVALID if the text is not a public key of a known KEM */
export function parseKemKey(text: string): KemPublicKey {
  const [scheme, bytes] = splitKey(text);
  if (scheme !== 'x-wing' && scheme !== 'x25519') throw wrongKey('x-wing or x25519', scheme);
  const expected = kemOf(scheme).publicKeyBytes;
  if (bytes.length !== expected) throw wrongLength(scheme, expected, bytes.length);
  return { kem: scheme, publicKey: bytes };
}

/**
 * A short digest of both public keys of a participant, in text form as in a manifest, for comparison by people: 128 bits
 * of the SHA-256 of their canonical JSON, as eight groups of four hex digits.
 */
export function keyFingerprint(keys: { readonly signing: string; readonly kem: string }): string {
  const digits = canonicalDigest({ signing: keys.signing, kem: keys.kem }).slice('sha256:'.length);
  return Array.from({ length: 8 }, (_, group) => digits.slice(group * 4, group * 4 + 4)).join(' ');
}

function splitKey(text: string): [scheme: string, bytes: Uint8Array] {
  const colon = text.indexOf(':');
  if (colon < 0)
    throw new CocosError('CRYPTO_KEY_INVALID', "A public key has the format 'scheme:base64url'.");
  return [text.slice(0, colon), fromBase64Url(text.slice(colon + 1), 'the public key', 'CRYPTO_KEY_INVALID')];
}

function wrongKey(expected: string, found: string): CocosError {
  return new CocosError(
    'CRYPTO_KEY_INVALID',
    `Expected a key of the scheme ${expected}; found '${found.slice(0, 32)}'.`,
  );
}

function wrongLength(scheme: string, expected: number, found: number): CocosError {
  return new CocosError(
    'CRYPTO_KEY_INVALID',
    `A key of the scheme '${scheme}' has ${expected} bytes; this one has ${found}.`,
  );
}
