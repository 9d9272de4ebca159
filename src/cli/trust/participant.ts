import { canonicalDigest } from '../../crypto/digest.ts';
import { encodeSigningKey, type ParticipantKeys } from '../../crypto/keys.ts';
import { CocosError } from '../../errors.ts';
import type { Manifest } from '../../machines/manifest.ts';
import type { SessionRole } from '../../protocol/session.ts';
import type { CommandContext } from '../command-context.ts';
import { readKeys } from '../key-files.ts';
import { withManager } from '../manager-client.ts';
import { readManifest } from '../manifest-file.ts';
import { AgentClient } from '../transfer/agent-client.ts';
import { explain } from './enclave-failure.ts';
import { relayOf } from './relay-address.ts';
import { readTrust, type TrustOptions } from './trust.ts';
import { openTrustedSession, type TrustedSession } from './trusted-session.ts';

/** Options of every command that opens a session with an agent. */
export interface ParticipantOptions extends TrustOptions {
  readonly manifest: string;
  readonly key: string;
  readonly passphraseFile?: string;
}

export interface Participant extends TrustedSession {
  readonly manifest: Manifest;
  readonly manifestDigest: string;
  readonly keys: ParticipantKeys;
}

/** Verifies the enclave, opens a session in a role, and closes everything afterwards. */
export function asParticipant<T>(
  context: CommandContext,
  options: ParticipantOptions,
  enclave: string,
  role: SessionRole | ((manifest: Manifest, signing: string) => SessionRole),
  run: (participant: Participant) => Promise<T>,
): Promise<T> {
  return withManager(context, async (client) => {
    const manifest = await readManifest(options.manifest);
    const { keys } = await readKeys(options.key, options.passphraseFile);
    const trust = await readTrust(options, context.environment);
    const signing = encodeSigningKey(keys.signing.publicKey);
    const inRole = typeof role === 'function' ? role(manifest, signing) : role;
    const agent = await AgentClient.open(await relayOf(client, enclave), context.environment);
    try {
      return await converse();
    } catch (thrown) {
      throw await explain(client, enclave, CocosError.from(thrown));
    } finally {
      await agent.close();
    }

    async function converse(): Promise<T> {
      const trusted = await openTrustedSession(agent, trust, manifest, keys, inRole);
      if (trusted.verdict.emulated) {
        context.output.note(
          'EMULATED platform: the evidence shows which program runs, but the host can read its memory.',
        );
      }
      try {
        return await run({ ...trusted, manifest, manifestDigest: canonicalDigest(manifest), keys });
      } finally {
        await trusted.session.close();
      }
    }
  });
}

/**
 * The role in which a key may follow the run. A consumer sees the log too. Whether a key may start the run does not depend
 * on its role.
 */
export function runRole(manifest: Manifest, signing: string): SessionRole {
  if (manifest.consumers.some((consumer) => consumer.signing === signing)) return 'consumer';
  if (manifest.start !== 'auto' && manifest.start.includes(signing)) return 'controller';
  if (manifest.algorithm.provider === signing) return 'algorithm';
  if (manifest.datasets.some((dataset) => dataset.provider === signing)) return 'dataset';
  if (manifest.stop.includes(signing)) return 'controller';
  throw new CocosError(
    'KEY_NOT_IN_MANIFEST',
    `The key ${signing} is not in the manifest. Use the key that the manifest names, or another manifest.`,
  );
}
