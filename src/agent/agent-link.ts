import { z } from 'zod';
import { canonicalDigest } from '../crypto/digest.ts';
import { CocosError } from '../errors.ts';
import { createLink, type Link, type LinkOptions } from '../link/link.ts';
import { PORTS, type Transport } from '../link/transport/transport.ts';
import type { AgentEvent } from '../machines/agent.machine.ts';
import { Manifest } from '../machines/manifest.ts';
import { systemClock } from '../runtime/clock.ts';
import { VERSION } from '../version.ts';
import type { ComputationPort, PlatformPort } from './ports.ts';
import { hostError } from './sessions/host-error.ts';

/** Commands of the manager. It is trusted for availability alone, so the list is short. */
const Command = z.discriminatedUnion('name', [
  z.object({ name: z.literal('agent.describe'), input: z.unknown() }),
  z.object({ name: z.literal('manifest.deliver'), input: z.strictObject({ manifest: Manifest }) }),
  z.object({ name: z.literal('computation.stop'), input: z.unknown() }),
  z.object({ name: z.literal('agent.shutDown'), input: z.unknown() }),
]);

/** What the manager's commands work on. */
export interface LinkParts extends Required<Pick<LinkOptions, 'bootId' | 'inspect' | 'snapshot'>> {
  readonly notify: (event: AgentEvent) => void;
  readonly computation: ComputationPort;
  readonly platform: Pick<PlatformPort, 'reportProvider'> & {
    measureManifest(manifest: Manifest, digest: string): Promise<void>;
  };
}

/** The agent's end of the link: it dials the host, publishes its journal and executes the manager's commands. */
export function agentLink(parts: LinkParts, transport: Transport): Link {
  return createLink({
    role: 'agent',
    bootId: parts.bootId,
    enclaveId: null,
    inspect: parts.inspect,
    open: () => transport.connect(PORTS.link),
    now: systemClock.monotonic,
    snapshot: parts.snapshot,
    onCommand: (name, input) =>
      runCommand(parts, name, input).catch((thrown: unknown) => {
        const error = CocosError.from(thrown);
        // Its members name states and events of the chart, which help whoever sent the command.
        throw error.code === 'STATE_EVENT_ILLEGAL' ? error : hostError(error);
      }),
    onState: (state) => parts.notify({ type: state === 'live' ? 'link.live' : 'link.lost' }),
  });
}

async function runCommand(parts: LinkParts, name: string, input: unknown): Promise<unknown> {
  const parsed = Command.safeParse({ name, input });
  if (!parsed.success)
    throw new CocosError('INPUT_INVALID', `The command '${name}' is unknown or malformed.`);
  const command = parsed.data;
  const { computation, platform } = parts;
  switch (command.name) {
    case 'agent.describe':
      return { version: VERSION, platform: platform.reportProvider.platform };
    case 'manifest.deliver': {
      const { manifest } = command.input;
      const digest = canonicalDigest(manifest);
      // A manager that restarted delivers its manifest again.
      if (computation.context.manifestDigest === digest) return { digest };
      if (computation.isAwaitingManifest) await platform.measureManifest(manifest, digest);
      computation.sendLegal({ type: 'manifest.accepted', manifest, digest, atMs: systemClock.monotonic() });
      return { digest };
    }
    case 'computation.stop':
      computation.sendLegal({ type: 'computation.stop', by: 'manager' });
      return null;
    case 'agent.shutDown':
      // Delayed, so that the reply leaves first.
      setTimeout(() => parts.notify({ type: 'agent.shutDown' }), 50);
      return null;
  }
}
