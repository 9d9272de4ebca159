import { createHash, createPrivateKey, createPublicKey, hkdfSync, type KeyObject } from 'node:crypto';

/** Derivations of the Open Profile for DICE, sections "Layering details" and "Cryptography". */

export const CDI_BYTES = 32;
export const HASH_BYTES = 64;
const ID_BYTES = 20;
/** Fixed salts of the profile. */
const KEY_SALT = Buffer.from(
  '63b6a04d2c077fc10f639f21da793844356cc2b0b441b3a77124035c03f8e1be6035d31f282821a7450a02222ab1b3cff1679b05ab1ca5d1affb789ccd2b0b3b',
  'hex',
);
const ID_SALT = Buffer.from(
  'dbdbaebc8020da9ff0dd5a24c83aa5a54286dfc263031e329b4da148430659fe62cdb5b7e1e00fc680306711eb444af77209359496fcff1db9520ba51c7b29ea',
  'hex',
);
/** PKCS #8 of an Ed25519 key up to its 32-byte seed (RFC 8410). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const SPKI_PREFIX_BYTES = 12;

/** How a layer runs (profile, "Mode value details"). */
export const MODE = { notConfigured: 0, normal: 1, debug: 2, recovery: 3 } as const;

/** The measurements of a layer, 64 bytes each. */
export interface LayerInputs {
  readonly code: Uint8Array;
  /** Hash of the configuration descriptor, or the value itself. */
  readonly configuration: Uint8Array;
  readonly authority: Uint8Array;
  readonly mode: number;
  readonly hidden: Uint8Array;
}

/** Compound device identifiers: one to attest with, one to seal with. */
export interface Cdis {
  readonly attest: Uint8Array;
  readonly seal: Uint8Array;
}

export interface LayerKey {
  readonly privateKey: KeyObject;
  /** Raw Ed25519 key. */
  readonly publicKey: Uint8Array;
  /** Hex, as in certificates. */
  readonly id: string;
}

function hkdf(secret: Uint8Array, salt: Uint8Array, info: string, length: number): Uint8Array {
  return new Uint8Array(hkdfSync('sha512', secret, salt, info, length));
}

/** The CDIs of the next layer. The caller must then clear the present ones, their only source. */
export function nextCdis(present: Cdis, inputs: LayerInputs): Cdis {
  const { code, configuration, authority, mode, hidden } = inputs;
  const all = [code, configuration, authority, Uint8Array.of(mode), hidden];
  const attestSalt = createHash('sha512').update(Buffer.concat(all)).digest();
  const sealSalt = createHash('sha512')
    .update(Buffer.concat([authority, Uint8Array.of(mode), hidden]))
    .digest();
  return {
    attest: hkdf(present.attest, attestSalt, 'CDI_Attest', CDI_BYTES),
    seal: hkdf(present.seal, sealSalt, 'CDI_Seal', CDI_BYTES),
  };
}

/** The key pair that belongs to a CDI. */
export function keyOf(cdiAttest: Uint8Array): LayerKey {
  const seed = hkdf(cdiAttest, KEY_SALT, 'Key Pair', 32);
  const pkcs8 = Buffer.concat([PKCS8_PREFIX, seed]);
  const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  seed.fill(0);
  pkcs8.fill(0);
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  const publicKey = new Uint8Array(spki.subarray(SPKI_PREFIX_BYTES));
  return { privateKey, publicKey, id: idOf(publicKey) };
}

/** Identifier of a public key: 20 bytes with the top bit clear, so that it is a positive serial number. */
function idOf(publicKey: Uint8Array): string {
  const id = Buffer.from(hkdf(publicKey, ID_SALT, 'ID', ID_BYTES));
  id[0] = (id[0] ?? 0) & 0x7f;
  return id.toString('hex');
}
