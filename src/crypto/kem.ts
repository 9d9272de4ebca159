/** A key encapsulation mechanism as HPKE uses it (RFC 9180 section 4). */

export type KemName = 'x-wing' | 'x25519';

export interface KemKeyPair {
  readonly publicKey: Uint8Array;
  readonly secretKey: Uint8Array;
}

/** An encapsulated key and the secret it carries. */
export interface Encapsulation {
  readonly enc: Uint8Array;
  readonly sharedSecret: Uint8Array;
}

export interface Kem {
  readonly name: KemName;
  /** Number in the HPKE KEM registry. */
  readonly id: number;
  /** Lengths in bytes. */
  readonly publicKeyBytes: number;
  readonly secretKeyBytes: number;
  readonly encBytes: number;
  generate(): KemKeyPair;
  /** The key pair of a 32-byte seed. */
  derive(seed: Uint8Array): KemKeyPair;
  publicKeyOf(secretKey: Uint8Array): Uint8Array;
  /** `seed` fixes the randomness, for known-answer tests. */
  encapsulate(recipient: Uint8Array, seed?: Uint8Array): Encapsulation;
  decapsulate(enc: Uint8Array, recipientSecretKey: Uint8Array): Uint8Array;
  /** The authenticated operations, if the KEM supports them (RFC 9180 section 5.1.3). */
  readonly authenticated?: {
    encapsulate(recipient: Uint8Array, senderSecretKey: Uint8Array, seed?: Uint8Array): Encapsulation;
    decapsulate(enc: Uint8Array, recipientSecretKey: Uint8Array, sender: Uint8Array): Uint8Array;
  };
}
