import { encodeSigningKey } from '../../crypto/keys.ts';
import { CocosError } from '../../errors.ts';
import { ALGORITHM_INPUT, type Manifest } from '../../machines/manifest.ts';
import type { SealedChannel } from '../../protocol/channel.ts';
import { acceptSession, type SessionOpening, type SessionRole } from '../../protocol/session.ts';
import type { AgentIdentity } from '../evidence/identity.ts';

/** A participant that proved possession of its key, with the keys that it shares with this agent. */
export interface Session {
  readonly id: string;
  /** Address of the attestation that this session is based on. */
  readonly attestation: string;
  readonly participant: string;
  readonly role: SessionRole;
  readonly aead: SessionOpening['suite']['aead'];
  readonly channel: SealedChannel;
}

/**
 * Checks the opening of a session against the manifest and derives its keys.
 *
 * @throws CocosError MANIFEST_DIGEST_MISMATCH, KEY_NOT_IN_MANIFEST, SESSION_SIGNATURE or CRYPTO_KEY_INVALID.
 */
export function acceptParticipant(
  identity: AgentIdentity,
  manifest: Manifest | null,
  manifestDigest: string | null,
  attestation: string,
  opening: SessionOpening,
  signature: Uint8Array,
): Session {
  if (manifest === null || opening.manifestDigest !== manifestDigest) {
    throw new CocosError(
      'MANIFEST_DIGEST_MISMATCH',
      'The enclave holds another manifest than the one that the participant agreed to.',
    );
  }
  const { channel } = acceptSession({
    opening,
    signature,
    agentKemSecretKeys: {
      'x-wing': identity.kems['x-wing'].secretKey,
      x25519: identity.kems.x25519.secretKey,
    },
  });
  const participant = encodeSigningKey(opening.participant);
  if (!hasRole(manifest, participant, opening.role)) {
    throw new CocosError(
      'KEY_NOT_IN_MANIFEST',
      `The manifest does not list this key in the role '${opening.role}'.`,
    );
  }
  return {
    id: Buffer.from(opening.sessionId).toString('hex'),
    attestation,
    participant,
    role: opening.role,
    aead: opening.suite.aead,
    channel,
  };
}

function hasRole(manifest: Manifest, participant: string, role: SessionRole): boolean {
  switch (role) {
    case 'algorithm':
      return manifest.algorithm.provider === participant;
    case 'dataset':
      return manifest.datasets.some((dataset) => dataset.provider === participant);
    case 'consumer':
      return manifest.consumers.some((consumer) => consumer.signing === participant);
    case 'controller':
      return (
        (manifest.start !== 'auto' && manifest.start.includes(participant)) ||
        manifest.stop.includes(participant)
      );
  }
}

/** The digest that the manifest expects of an input that this session may send. @throws CocosError INPUT_NOT_EXPECTED, KEY_NOT_IN_MANIFEST */
export function expectedDigest(manifest: Manifest, session: Session, input: string): string {
  const entry =
    input === ALGORITHM_INPUT
      ? manifest.algorithm
      : manifest.datasets.find((dataset) => dataset.name === input);
  if (entry === undefined)
    throw new CocosError('INPUT_NOT_EXPECTED', `The manifest has no input '${input}'.`);
  const role = input === ALGORITHM_INPUT ? 'algorithm' : 'dataset';
  if (entry.provider !== session.participant || session.role !== role) {
    throw new CocosError('KEY_NOT_IN_MANIFEST', `The manifest names another key as provider of '${input}'.`);
  }
  return entry.digest;
}
