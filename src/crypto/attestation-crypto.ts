import { constants, createHash, createPublicKey, type KeyObject, verify } from 'node:crypto';
import type { AttestationCrypto } from '../attestation/crypto-port.ts';

/** DER of SubjectPublicKeyInfo for a P-384 key, up to the 97 bytes of its uncompressed point (RFC 5480). */
const P384_SPKI_PREFIX = Buffer.from('3076301006072a8648ce3d020106052b81040022036200', 'hex');
const P384_POINT_BYTES = 97;
const P384_SIGNATURE_BYTES = 96;
const PSS_SALT_BYTES = 48;

function digest(algorithm: string, data: Uint8Array): Uint8Array {
  return new Uint8Array(createHash(algorithm).update(data).digest());
}

/** A key that OpenSSL accepts, or null: a hostile key is a failed check, never an exception. */
function loadKey(spki: Uint8Array): KeyObject | null {
  try {
    return createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  } catch {
    return null;
  }
}

function safely(check: () => boolean): boolean {
  try {
    return check();
  } catch {
    return false;
  }
}

/** The verifier's port on node:crypto. */
export const attestationCrypto: AttestationCrypto = {
  sha256: (data) => digest('sha256', data),
  sha384: (data) => digest('sha384', data),
  sha512: (data) => digest('sha512', data),

  verifyP384(publicKey, message, signature) {
    if (signature.length !== P384_SIGNATURE_BYTES) return false;
    const spki =
      publicKey.length === P384_POINT_BYTES ? Buffer.concat([P384_SPKI_PREFIX, publicKey]) : publicKey;
    const key = loadKey(spki);
    if (key?.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'secp384r1') return false;
    return safely(() => verify('sha384', message, { key, dsaEncoding: 'ieee-p1363' }, signature));
  },

  verifyRsaPss384(spki, message, signature) {
    const key = loadKey(spki);
    if (key?.asymmetricKeyType !== 'rsa') return false;
    const padding = constants.RSA_PKCS1_PSS_PADDING;
    return safely(() => verify('sha384', message, { key, padding, saltLength: PSS_SALT_BYTES }, signature));
  },
};
