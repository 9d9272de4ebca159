/** Hashes of evidence. SHA-1 serves only to replay old event logs; no decision depends on it. */
export type HashName = 'sha1' | 'sha256' | 'sha384' | 'sha512';
/** Hashes that a signature may use. */
export type SignatureHash = Exclude<HashName, 'sha1'>;
export type EcCurve = 'P-256' | 'P-384';

/** An RSA public key, both numbers big-endian without leading zeros. */
export interface RsaPublicKey {
  readonly modulus: Uint8Array;
  readonly exponent: Uint8Array;
}

/**
 * What the verifier needs from a cryptographic library. The verifier is pure and receives this port, so that the same
 * code runs on node:crypto, in a browser, or on a second implementation in a test.
 *
 * Every `verify…` returns false for a wrong signature and for any key or signature that is malformed or of another
 * kind. It never throws.
 */
export interface AttestationCrypto {
  sha1(data: Uint8Array): Uint8Array;
  sha256(data: Uint8Array): Uint8Array;
  sha384(data: Uint8Array): Uint8Array;
  sha512(data: Uint8Array): Uint8Array;
  /**
   * ECDSA over a hash of the message.
   *
   * @param point the key as uncompressed point (65 or 97 bytes, 0x04 first).
   * @param signature r ‖ s, each as long as the field (32 or 48 bytes), big-endian.
   */
  verifyEcdsa(
    curve: EcCurve,
    hash: SignatureHash,
    point: Uint8Array,
    message: Uint8Array,
    signature: Uint8Array,
  ): boolean;
  /**
   * RSASSA-PSS with MGF1 over the same hash.
   *
   * @param saltBytes length of the salt; null if the signature determines it (TPM 2.0)
   */
  verifyRsaPss(
    hash: SignatureHash,
    key: RsaPublicKey,
    message: Uint8Array,
    signature: Uint8Array,
    saltBytes: number | null,
  ): boolean;
  /** RSASSA-PKCS1-v1_5. */
  verifyRsaPkcs1(hash: SignatureHash, key: RsaPublicKey, message: Uint8Array, signature: Uint8Array): boolean;
  /**
   * Ed25519 (RFC 8032).
   *
   * @param publicKey 32 bytes.
   * @param signature 64 bytes.
   */
  verifyEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
}

/** The digests only, which suffice to measure a launch. */
export type AttestationHashes = Pick<AttestationCrypto, 'sha256' | 'sha384' | 'sha512'>;
