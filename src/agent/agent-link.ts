import { z } from 'zod';
import { canonicalDigest } from '../crypto/digest.ts';
import { CocosError } from '../errors.ts';
import { createLink, type Link } from '../link/link.ts';
import { PORTS, type Transport } from '../link/transport/transport.ts';
import { Manifest } from '../machines/manifest.ts';
import { systemClock } from '../runtime/clock.ts';

import type { Trace } from '../runtime/trace.ts';
import { VERSION } from '../version.ts';
import type { Agent } from './agent.ts';

/** What the manager may ask of the agent. It is trusted for availability alone, so the list is short. */
const Command = z.discriminatedUnion('name', [
  z.object({ name: z.literal('agent.describe'), input: z.unknown() }),
  z.object({ name: z.literal('manifest.deliver'), input: z.strictObject({ manifest: Manifest }) }),
  z.object({ name: z.literal('computation.stop'), input: z.unknown() }),
  z.object({ name: z.literal('agent.shutDown'), input: z.unknown() }),
]);

/** The agent's end of the link: it dials the host, tells its journal and takes the manager's commands. */
export function agentLink(agent: Agent, transport: Transport, trace: Trace | undefined): Link {
  return createLink({
    role: 'agent',
    bootId: Buffer.from(agent.identity.bootId).toString('hex'),
    enclaveId: null,
    inspect: trace,
    open: () => transport.connect(PORTS.link),
    now: systemClock.monotonic,
    snapshot: () => agent.snapshotRecords(),
    onCommand: (name, input) => runCommand(agent, name, input),
    onState: (state) => agent.request({ type: state === 'live' ? 'link.live' : 'link.lost' }),
  });
}

async function runCommand(agent: Agent, name: string, input: unknown): Promise<unknown> {
  const parsed = Command.safeParse({ name, input });
  if (!parsed.success) throw new CocosError('INPUT_INVALID', `The command ${name} is unknown or malformed.`);
  const command = parsed.data;
  switch (command.name) {
    case 'agent.describe':
      return { version: VERSION, platform: agent.reportProvider.platform };
    case 'manifest.deliver': {
      const { manifest } = command.input;
      const digest = canonicalDigest(manifest);
      // A manager that comes back delivers again; the same manifest is no news.
      if (agent.computation.context.manifestDigest === digest) return { digest };
      await agent.measureManifest(manifest, digest);
      agent.sendLegal('computation', {
        type: 'manifest.accepted',
        manifest,
        digest,
        atMs: systemClock.monotonic(),
      });
      return { digest };
    }
    case 'computation.stop':
      agent.sendLegal('computation', { type: 'computation.stop', by: 'manager' });
      return null;
    case 'agent.shutDown':
      // After the reply is on its way.
      setTimeout(() => agent.request({ type: 'agent.shutDown' }), 50);
      return null;
  }
}
