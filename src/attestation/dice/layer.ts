import type { SignatureHash } from '../../crypto/crypto-port.ts';
import type { PublicKey } from '../x509/public-key.ts';
import type { DiceMode } from './policy-rules.ts';

/** One layer of a DICE chain: the statements of a certificate about the layer whose key it contains. */
export interface DiceLayer {
  /** The encoded certificate. */
  readonly encoded: Uint8Array;
  /** Identifier of the layer that signed, 20 bytes in hex. */
  readonly issuer: string;
  readonly subject: string;
  readonly key: PublicKey;
  /** Identifier that the signed key gives itself, in profiles that do not derive it from the key; hex. */
  readonly keyId: string | null;
  /** Null if a certificate of another profile does not contain it. */
  readonly codeHash: Uint8Array | null;
  /** Hash of the configuration descriptor, or the inline configuration. */
  readonly configuration: Uint8Array | null;
  /** The descriptor behind the hash; null for an inline configuration. */
  readonly configurationDescriptor: Uint8Array | null;
  readonly authorityHash: Uint8Array | null;
  readonly mode: DiceMode | 'unstated';
  /** Milliseconds since 1970; null in CBOR, which has no dates. */
  readonly validity: { readonly notBefore: number; readonly notAfter: number } | null;
  /** Layers that may follow between this one and the last; null without a limit. */
  readonly pathLength: number | null;
  /** Contradictions within the certificate and violations of the profile; empty if there are none. */
  readonly problems: readonly string[];
  /** The signed bytes, and how they are signed. */
  readonly signed: {
    readonly message: Uint8Array;
    readonly signature: Uint8Array;
    readonly scheme: SignatureScheme;
  };
}

export type SignatureScheme =
  | { readonly kind: 'ed25519' }
  | { readonly kind: 'P-256' | 'P-384'; readonly hash: SignatureHash };
