import { randomBytes } from 'node:crypto';
import type { Claims } from '../../attestation/evidence/claims.ts';
import { digestFromText } from '../../crypto/digest.ts';
import { generateKemKeyPair } from '../../crypto/hpke.ts';
import type { KemKeyPair } from '../../crypto/kem.ts';
import { generateSigningKeyPair, type SigningKeyPair } from '../../crypto/signing.ts';
import { VERSION } from '../../version.ts';

/** Keys that exist only in the memory of this agent process. */
export interface AgentIdentity {
  readonly bootId: Uint8Array;
  readonly signing: SigningKeyPair;
  /** Generated at first use, which must follow `openGuestTpm`: only then are the random generators seeded. */
  readonly kems: { readonly 'x-wing': KemKeyPair; readonly x25519: KemKeyPair };
  /** Overwrites the secret keys. */
  erase(): void;
}

const BOOT_ID_BYTES = 16;

export function createIdentity(): AgentIdentity {
  // Generating them takes half a second in an emulated guest; the first challenge needs them.
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
 * The claims that the evidence binds. The manifest digest is null until a manifest is accepted.
 *
 * @param others claims about vTPM and DICE chain, if the guest has them
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
