/**
 * What the verifier needs from a cryptographic library. The verifier itself is pure: it is handed this port, so that
 * the same code runs on node:crypto, in a browser or under a second implementation in a test.
 */
export interface AttestationCrypto {
  sha256(data: Uint8Array): Uint8Array;
  sha384(data: Uint8Array): Uint8Array;
  sha512(data: Uint8Array): Uint8Array;
  /**
   * ECDSA on P-384 over SHA-384 of the message.
   *
   * @param publicKey DER SubjectPublicKeyInfo, or the uncompressed point (97 bytes, 0x04 first).
   * @param signature r ‖ s, each 48 bytes big-endian.
   * @returns false for a wrong signature and for any key or signature that is malformed or on another curve.
   */
  verifyP384(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
  /**
   * RSASSA-PSS with SHA-384, MGF1 over SHA-384 and 48 bytes of salt.
   *
   * @param spki DER SubjectPublicKeyInfo of an RSA key.
   * @returns false for a wrong signature and for any key or signature that is malformed or not RSA.
   */
  verifyRsaPss384(spki: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
}

/** The digests alone: enough to measure a launch. */
export type AttestationHashes = Pick<AttestationCrypto, 'sha256' | 'sha384' | 'sha512'>;
