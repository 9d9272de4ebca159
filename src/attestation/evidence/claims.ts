import { bytesToHex, concatBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import { z } from 'zod';
import type { AttestationHashes } from '../../crypto/crypto-port.ts';
import { CocosError } from '../../errors.ts';
import { bytesOf, bytesUpTo } from '../encoding/byte-schemas.ts';
import { decodeDeterministic, encodeDeterministic } from '../encoding/cbor.ts';

/**
 * The claims: statements of the agent about itself that the report binds. They are hashed into REPORT_DATA together with
 * the verifier's nonce, so whoever verifies the report knows that exactly these keys live in that enclave.
 */

export const MAX_CLAIMS_BYTES = 64 * 1024;
export const NONCE_BYTES = 32;
const X_WING_PUBLIC_KEY_BYTES = 1216;
const X25519_PUBLIC_KEY_BYTES = 32;

export const PlatformName = z.enum(['snp', 'tdx', 'emulated']);
export type PlatformName = z.infer<typeof PlatformName>;

const KemKey = z.discriminatedUnion('kem', [
  z.strictObject({ kem: z.literal('x-wing'), publicKey: bytesOf(X_WING_PUBLIC_KEY_BYTES) }),
  z.strictObject({ kem: z.literal('x25519'), publicKey: bytesOf(X25519_PUBLIC_KEY_BYTES) }),
]);

export const Claims = z.strictObject({
  version: z.literal(1),
  platform: PlatformName,
  /** Random, made at each boot. */
  bootId: bytesOf(16),
  /** Ed25519 public key of the agent: signs receipts. */
  signingKey: bytesOf(32),
  /** Keys that participants seal to; at most one for each KEM. */
  kemKeys: z
    .array(KemKey)
    .min(1)
    .max(2)
    .refine((keys) => new Set(keys.map((key) => key.kem)).size === keys.length, 'one key for each KEM'),
  /** SHA-256 of the canonical manifest; null before its delivery. */
  manifestDigest: bytesOf(32).nullable(),
  eosVersion: z.string().min(1).max(128),
  /** TPMT_PUBLIC of the vTPM's attestation key. */
  tpmAk: bytesUpTo(4096).optional(),
  /** SHA-256 of the DICE leaf certificate. */
  diceLeaf: bytesOf(32).optional(),
  /** SHA-256 of the key that signs the first DICE layer: raw Ed25519 key or uncompressed point. */
  diceRoot: bytesOf(32).optional(),
});
export type Claims = z.infer<typeof Claims>;

/**
 * Claims as the bytes that are hashed (deterministic CBOR).
 *
 * @throws CocosError INPUT_INVALID
 */
export function encodeClaims(claims: Claims): Uint8Array {
  const checked = Claims.safeParse(claims);
  if (!checked.success)
    throw new CocosError('INPUT_INVALID', 'the claims are invalid', { cause: checked.error });
  return encodeDeterministic(checked.data);
}

/** @throws CocosError EVIDENCE_INVALID */
export function decodeClaims(bytes: Uint8Array): Claims {
  return decodeDeterministic(bytes, Claims, MAX_CLAIMS_BYTES, 'claims');
}

/** Input of the hash for REPORT_DATA and for the qualifying data of a vTPM quote: domain ‖ 0 ‖ nonce ‖ SHA-384(claims). */
function bindingInput(nonce: Uint8Array, claimsBytes: Uint8Array, hashes: AttestationHashes): Uint8Array {
  if (nonce.length !== NONCE_BYTES) {
    throw new CocosError('INPUT_INVALID', `the nonce has ${nonce.length} bytes, expected ${NONCE_BYTES}`);
  }
  return concatBytes(utf8ToBytes('cocosai evidence v1\0'), nonce, hashes.sha384(claimsBytes));
}

/**
 * The 64 bytes of REPORT_DATA (SNP) or REPORTDATA (TDX) for a nonce and claims (design section 7).
 *
 * @param nonce 32 bytes chosen by the verifier.
 * @throws CocosError INPUT_INVALID when the nonce has another length.
 */
export function reportData(
  nonce: Uint8Array,
  claimsBytes: Uint8Array,
  hashes: AttestationHashes,
): Uint8Array {
  return hashes.sha512(bindingInput(nonce, claimsBytes, hashes));
}

/**
 * The 32 bytes of qualifying data of a vTPM quote for a nonce and claims: SHA-256 of the input whose SHA-512 is REPORT_DATA
 * of.
 *
 * @throws CocosError INPUT_INVALID when the nonce has another length.
 */
export function qualifyingData(
  nonce: Uint8Array,
  claimsBytes: Uint8Array,
  hashes: AttestationHashes,
): Uint8Array {
  return hashes.sha256(bindingInput(nonce, claimsBytes, hashes));
}

/** Digest text of the manifest in claims; `none` before its delivery. */
export function claimedManifest(claims: Claims): string {
  return claims.manifestDigest === null ? 'none' : `sha256:${bytesToHex(claims.manifestDigest)}`;
}
