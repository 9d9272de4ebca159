import { createHash } from 'node:crypto';
import { ml_kem768_x25519 as xwing } from '@noble/post-quantum/hybrid.js';
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js';
import { CocosError } from '../errors.ts';
import { concat, expectLength, randomBytes } from './bytes.ts';
import type { Encapsulation, Kem, KemKeyPair } from './kem.ts';
import { nativePublicKey } from './native-keys.ts';

/**
 * X-Wing, the hybrid of ML-KEM-768 and X25519 (draft-connolly-cfrg-xwing-kem), HPKE number 0x647a.
 * The secret key is the 32-byte seed. HPKE uses its shared secret unchanged (section 5.7 of the draft).
 */

const PUBLIC_KEY_BYTES = 1216;
const SEED_BYTES = 32;
const ENC_BYTES = 1120;
const ML_KEM_SEED_BYTES = 64;
const EXPANDED_BYTES = 96;
const ENCAPSULATION_SEED_BYTES = 64;

/** Runs a primitive whose lengths were checked, so it fails only for malformed or low-order keys. */
function guarded<T>(what: string, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    throw new CocosError('CRYPTO_KEY_INVALID', `${what} is malformed or of low order.`, { cause });
  }
}

function derive(seed: Uint8Array): KemKeyPair {
  expectLength(seed, SEED_BYTES, 'X-Wing key seed');
  // expandDecapsulationKey of the draft, section 5.2: 64 bytes for ML-KEM and 32 for X25519.
  const expanded = createHash('shake256', { outputLength: EXPANDED_BYTES }).update(seed).digest();
  const mlKem = ml_kem768.keygen(expanded.subarray(0, ML_KEM_SEED_BYTES));
  const publicKey = concat(mlKem.publicKey, nativePublicKey('x25519', expanded.subarray(ML_KEM_SEED_BYTES)));
  expanded.fill(0);
  mlKem.secretKey.fill(0);
  return { publicKey, secretKey: Uint8Array.from(seed) };
}

function encapsulate(
  recipient: Uint8Array,
  seed: Uint8Array = randomBytes(ENCAPSULATION_SEED_BYTES),
): Encapsulation {
  expectLength(recipient, PUBLIC_KEY_BYTES, 'X-Wing public key', 'CRYPTO_KEY_INVALID');
  expectLength(seed, ENCAPSULATION_SEED_BYTES, 'X-Wing encapsulation seed');
  const { cipherText, sharedSecret } = guarded('The X-Wing public key', () =>
    xwing.encapsulate(recipient, seed),
  );
  return { enc: cipherText, sharedSecret };
}

function decapsulate(enc: Uint8Array, recipientSecretKey: Uint8Array): Uint8Array {
  expectLength(enc, ENC_BYTES, 'X-Wing encapsulated key', 'CRYPTO_KEY_INVALID');
  expectLength(recipientSecretKey, SEED_BYTES, 'X-Wing secret key', 'CRYPTO_KEY_INVALID');
  return guarded('The X-Wing encapsulated key', () => xwing.decapsulate(enc, recipientSecretKey));
}

export const XWING_KEM: Kem = {
  name: 'x-wing',
  id: 0x647a,
  publicKeyBytes: PUBLIC_KEY_BYTES,
  secretKeyBytes: SEED_BYTES,
  encBytes: ENC_BYTES,
  generate: () => derive(randomBytes(SEED_BYTES)),
  derive,
  publicKeyOf: (secretKey) =>
    derive(expectLength(secretKey, SEED_BYTES, 'X-Wing secret key', 'CRYPTO_KEY_INVALID')).publicKey,
  encapsulate,
  decapsulate,
};
