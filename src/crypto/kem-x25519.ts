import { x25519 } from '@noble/curves/ed25519.js';
import { CocosError } from '../errors.ts';
import { concat, expectLength, randomBytes, u16be, utf8 } from './bytes.ts';
import { labeledExpand, labeledExtract } from './hkdf.ts';
import type { Encapsulation, Kem, KemKeyPair } from './kem.ts';
import { nativePublicKey } from './native-keys.ts';

/** DHKEM(X25519, HKDF-SHA256), RFC 9180 section 4.1, number 0x0020. */

const ID = 0x0020;
const SUITE_ID = concat(utf8('KEM'), u16be(ID));
const KEY_BYTES = 32;
const EMPTY = new Uint8Array(0);

/**
 * X25519 (RFC 7748 section 5). An all-zero result indicates a public key of low order, with which a sender could force
 * a known secret. RFC 9180 section 7.1.4 requires that it be refused.
 */
function dh(secretKey: Uint8Array, publicKey: Uint8Array): Uint8Array {
  let shared: Uint8Array;
  try {
    shared = x25519.getSharedSecret(secretKey, publicKey);
  } catch (cause) {
    throw new CocosError('CRYPTO_KEY_INVALID', 'The X25519 public key is of low order.', { cause });
  }
  if (shared.every((byte) => byte === 0)) {
    throw new CocosError('CRYPTO_KEY_INVALID', 'The X25519 public key is of low order.');
  }
  return shared;
}

function publicKeyOf(secretKey: Uint8Array): Uint8Array {
  return nativePublicKey('x25519', expectSecret(secretKey));
}

function expectSecret(secretKey: Uint8Array): Uint8Array {
  return expectLength(secretKey, KEY_BYTES, 'X25519 secret key', 'CRYPTO_KEY_INVALID');
}

function expectPublic(publicKey: Uint8Array, what = 'X25519 public key'): Uint8Array {
  return expectLength(publicKey, KEY_BYTES, what, 'CRYPTO_KEY_INVALID');
}

/** DeriveKeyPair of RFC 9180 section 7.1.3. */
function derive(seed: Uint8Array): KemKeyPair {
  expectLength(seed, KEY_BYTES, 'X25519 key seed');
  const prk = labeledExtract(SUITE_ID, EMPTY, 'dkp_prk', seed);
  const secretKey = labeledExpand(SUITE_ID, prk, 'sk', EMPTY, KEY_BYTES);
  return { secretKey, publicKey: publicKeyOf(secretKey) };
}

/** ExtractAndExpand of RFC 9180 section 4.1. */
function extractAndExpand(sharedPoint: Uint8Array, kemContext: Uint8Array): Uint8Array {
  const prk = labeledExtract(SUITE_ID, EMPTY, 'eae_prk', sharedPoint);
  return labeledExpand(SUITE_ID, prk, 'shared_secret', kemContext, KEY_BYTES);
}

function encapsulate(recipient: Uint8Array, seed: Uint8Array = randomBytes(KEY_BYTES)): Encapsulation {
  const ephemeral = derive(seed);
  const enc = ephemeral.publicKey;
  const point = dh(ephemeral.secretKey, expectPublic(recipient));
  return { enc, sharedSecret: extractAndExpand(point, concat(enc, recipient)) };
}

function decapsulate(enc: Uint8Array, recipientSecretKey: Uint8Array): Uint8Array {
  const point = dh(expectSecret(recipientSecretKey), expectPublic(enc, 'X25519 encapsulated key'));
  return extractAndExpand(point, concat(enc, publicKeyOf(recipientSecretKey)));
}

function authEncapsulate(
  recipient: Uint8Array,
  senderSecretKey: Uint8Array,
  seed: Uint8Array = randomBytes(KEY_BYTES),
): Encapsulation {
  const ephemeral = derive(seed);
  const enc = ephemeral.publicKey;
  const points = concat(
    dh(ephemeral.secretKey, expectPublic(recipient)),
    dh(expectSecret(senderSecretKey), recipient),
  );
  const context = concat(enc, recipient, publicKeyOf(senderSecretKey));
  return { enc, sharedSecret: extractAndExpand(points, context) };
}

function authDecapsulate(enc: Uint8Array, recipientSecretKey: Uint8Array, sender: Uint8Array): Uint8Array {
  const points = concat(
    dh(expectSecret(recipientSecretKey), expectPublic(enc, 'X25519 encapsulated key')),
    dh(recipientSecretKey, expectPublic(sender, 'X25519 sender key')),
  );
  return extractAndExpand(points, concat(enc, publicKeyOf(recipientSecretKey), sender));
}

export const X25519_KEM: Kem = {
  name: 'x25519',
  id: ID,
  publicKeyBytes: KEY_BYTES,
  secretKeyBytes: KEY_BYTES,
  encBytes: KEY_BYTES,
  generate: () => derive(randomBytes(KEY_BYTES)),
  derive,
  publicKeyOf,
  encapsulate,
  decapsulate,
  authenticated: { encapsulate: authEncapsulate, decapsulate: authDecapsulate },
};
