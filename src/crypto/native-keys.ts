import { createPrivateKey, createPublicKey } from 'node:crypto';

/** PKCS #8 of a key up to its 32 bytes (RFC 8410). */
const PKCS8_PREFIX = {
  ed25519: '302e020100300506032b657004220420',
  x25519: '302e020100300506032b656e04220420',
} as const;
const KEY_BYTES = 32;

/**
 * The raw public key of a 32-byte secret key, computed natively. When an agent starts and no JavaScript is compiled
 * yet, this is many times faster than a portable implementation.
 */
export function nativePublicKey(kind: keyof typeof PKCS8_PREFIX, secretKey: Uint8Array): Uint8Array {
  const pkcs8 = Buffer.concat([Buffer.from(PKCS8_PREFIX[kind], 'hex'), secretKey]);
  try {
    const key = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
    const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
    return Uint8Array.from(spki.subarray(-KEY_BYTES));
  } finally {
    pkcs8.fill(0);
  }
}
