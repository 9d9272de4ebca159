import { expectLength, lengthPrefixed, randomBytes, u32be, utf8 } from '../crypto/bytes.ts';
import { digestFromText, sha256 } from '../crypto/digest.ts';
import { isSuite, kemOf, type Suite, setupReceiver, setupSender } from '../crypto/hpke.ts';
import type { KemName } from '../crypto/kem.ts';
import { SIGNING_KEY_BYTES, sign, signingPublicKey, verify } from '../crypto/signing.ts';
import { CocosError } from '../errors.ts';
import { SealedChannel } from './channel.ts';

/**
 * Opening of a participant's session with an agent (design section 6).
 *
 * core       = length-prefixed(label, version, session id, KEM, AEAD, role, participant, manifest digest,
 *              evidence digest, nonce)
 * HPKE info  = length-prefixed(label, SHA-256(core)): altering a field changes the keys
 * signature  = Ed25519 over length-prefixed(label ‖ " signature", core, enc): HPKE produces `enc`, so the info cannot
 *              contain it, and the signature binds it
 * channel    = 32 bytes exported from the HPKE context
 */

export type SessionRole = 'algorithm' | 'dataset' | 'consumer' | 'controller';
export const SESSION_ROLES: readonly SessionRole[] = ['algorithm', 'dataset', 'consumer', 'controller'];

export const SESSION_ID_BYTES = 16;
export const SESSION_NONCE_BYTES = 32;

const LABEL = 'cocosai session v1';
const CHANNEL_SECRET_BYTES = 32;

export interface SessionOpening {
  readonly version: 1;
  /** 16 random bytes. */
  readonly sessionId: Uint8Array;
  readonly suite: Suite;
  /** HPKE encapsulated key. */
  readonly enc: Uint8Array;
  readonly role: SessionRole;
  /** Ed25519 public key, 32 bytes. */
  readonly participant: Uint8Array;
  /** `sha256:…` of the manifest the participant agreed to. */
  readonly manifestDigest: string;
  /** `sha256:…` over the bytes of the appraised evidence bundle. */
  readonly evidenceDigest: string;
  /** Nonce of that evidence, 32 bytes. */
  readonly nonce: Uint8Array;
}

export interface OpenSessionInput {
  /** From the attested claims. */
  readonly agentKemPublicKey: Uint8Array;
  readonly suite: Suite;
  readonly signingSecretKey: Uint8Array;
  readonly role: SessionRole;
  readonly manifestDigest: string;
  readonly evidenceDigest: string;
  readonly nonce: Uint8Array;
}

/** Secret KEM keys of an agent, one for each KEM it offers. */
export type AgentKemSecretKeys = Readonly<Partial<Record<KemName, Uint8Array>>>;

/**
 * Participant's side: creates and signs the opening, and returns the channel, which is valid once the agent has accepted
 * the opening.
 * @throws CocosError CRYPTO_KEY_INVALID for a bad agent or signing key; INPUT_INVALID for a malformed field
 */
export function openSession(input: OpenSessionInput): {
  opening: SessionOpening;
  signature: Uint8Array;
  channel: SealedChannel;
} {
  const fields = {
    version: 1,
    sessionId: randomBytes(SESSION_ID_BYTES),
    suite: input.suite,
    role: input.role,
    participant: signingPublicKey(input.signingSecretKey),
    manifestDigest: input.manifestDigest,
    evidenceDigest: input.evidenceDigest,
    nonce: input.nonce,
  } as const;
  const core = encodeCore(fields);
  const { enc, context } = setupSender(input.suite, input.agentKemPublicKey, hpkeInfo(core));
  return {
    opening: { ...fields, enc },
    signature: sign(signedBytes(core, enc), input.signingSecretKey),
    channel: channelOf(context, input.suite, 'participant'),
  };
}

/**
 * Agent's side: verifies the signature and derives the same channel. Before it uses the channel, the caller must check
 * the manifest digest, the evidence and its nonce, that the session id is new, and that the participant has this role
 * in the manifest.
 * @throws CocosError INPUT_INVALID for a malformed field; SESSION_SIGNATURE if the participant did not sign exactly this
 * opening; CRYPTO_KEY_INVALID for a bad encapsulated key or a KEM for which the agent has no key
 */
export function acceptSession(input: {
  readonly opening: SessionOpening;
  readonly signature: Uint8Array;
  readonly agentKemSecretKeys: AgentKemSecretKeys;
}): { channel: SealedChannel } {
  const { opening, signature } = input;
  const core = encodeCore(opening);
  expectLength(
    opening.enc,
    kemOf(opening.suite.kem).encBytes,
    'session encapsulated key',
    'CRYPTO_KEY_INVALID',
  );
  if (!verify(signature, signedBytes(core, opening.enc), opening.participant)) {
    throw new CocosError('SESSION_SIGNATURE', 'The session opening is not signed by its participant.');
  }
  const secretKey = input.agentKemSecretKeys[opening.suite.kem];
  if (secretKey === undefined) {
    throw new CocosError('CRYPTO_KEY_INVALID', `The agent has no key for the KEM '${opening.suite.kem}'.`);
  }
  const context = setupReceiver(opening.suite, opening.enc, secretKey, hpkeInfo(core));
  return { channel: channelOf(context, opening.suite, 'agent') };
}

/** All fields but `enc`. The checks make the encoding unambiguous. */
function encodeCore(fields: Omit<SessionOpening, 'enc'>): Uint8Array {
  if (fields.version !== 1)
    throw new CocosError('INPUT_INVALID', 'The session opening has an unknown version.');
  if (!isSuite(fields.suite))
    throw new CocosError('INPUT_INVALID', 'The session opening has an unknown suite.');
  if (!SESSION_ROLES.includes(fields.role)) {
    throw new CocosError('INPUT_INVALID', 'The session opening has an unknown role.');
  }
  return lengthPrefixed(
    utf8(LABEL),
    u32be(fields.version),
    expectLength(fields.sessionId, SESSION_ID_BYTES, 'session id'),
    utf8(fields.suite.kem),
    utf8(fields.suite.aead),
    utf8(fields.role),
    expectLength(fields.participant, SIGNING_KEY_BYTES, 'participant key'),
    digestFromText(fields.manifestDigest),
    digestFromText(fields.evidenceDigest),
    expectLength(fields.nonce, SESSION_NONCE_BYTES, 'session nonce'),
  );
}

function hpkeInfo(core: Uint8Array): Uint8Array {
  return lengthPrefixed(utf8(LABEL), sha256(core));
}

function signedBytes(core: Uint8Array, enc: Uint8Array): Uint8Array {
  return lengthPrefixed(utf8(`${LABEL} signature`), core, enc);
}

function channelOf(
  context: { export(context: Uint8Array, length: number): Uint8Array; erase(): void },
  suite: Suite,
  side: 'participant' | 'agent',
): SealedChannel {
  const secret = context.export(utf8(`${LABEL} channel`), CHANNEL_SECRET_BYTES);
  context.erase();
  return new SealedChannel(secret, suite.aead, side);
}
