import { randomBytes } from 'node:crypto';
import type { Claims } from '../../attestation/evidence/claims.ts';
import { digestFromText } from '../../crypto/digest.ts';
import { generateKemKeyPair } from '../../crypto/hpke.ts';
import type { KemKeyPair } from '../../crypto/kem.ts';
import { generateSigningKeyPair, type SigningKeyPair } from '../../crypto/signing.ts';
import { VERSION } from '../../version.ts';

/** Keys that exist only in this agent's memory, from its start to its end. */
export interface AgentIdentity {
  readonly bootId: Uint8Array;
  readonly signing: SigningKeyPair;
  /** Made at first use, which must come after the random generators are ready: that is, never before `openGuestTpm`. */
  readonly kems: { readonly 'x-wing': KemKeyPair; readonly x25519: KemKeyPair };
  /** Overwrites the secret keys, at the agent's end. */
  erase(): void;
}

const BOOT_ID_BYTES = 16;

export function createIdentity(): AgentIdentity {
  // Making them takes an emulated guest half a second, and the first challenge is what needs them.
  let kems: AgentIdentity['kems'] | null = null;
  const signing = generateSigningKeyPair();
  return {
    bootId: randomBytes(BOOT_ID_BYTES),
    signing,
    get kems() {
      kems ??= { 'x-wing': generateKemKeyPair('x-wing'), x25519: generateKemKeyPair('x25519') };
      return kems;
    },
    erase: () => {
      for (const pair of [signing, kems?.['x-wing'], kems?.x25519]) pair?.secretKey.fill(0);
    },
  };
}

/**
 * What the evidence binds. The manifest digest is null until a manifest was accepted.
 *
 * @param others what further proofs state, where the guest has them
 */
export function claimsOf(
  identity: AgentIdentity,
  platform: Claims['platform'],
  manifestDigest: string | null,
  others: Pick<Claims, 'tpmAk' | 'diceLeaf' | 'diceRoot'>,
): Claims {
  return {
    version: 1,
    platform,
    bootId: identity.bootId,
    signingKey: identity.signing.publicKey,
    kemKeys: [
      { kem: 'x-wing', publicKey: identity.kems['x-wing'].publicKey },
      { kem: 'x25519', publicKey: identity.kems.x25519.publicKey },
    ],
    manifestDigest: manifestDigest === null ? null : digestFromText(manifestDigest),
    eosVersion: VERSION,
    ...others,
  };
}
