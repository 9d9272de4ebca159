import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { buildSync } from 'esbuild';
import { z } from 'zod';
import { AgentClient, type AgentSession } from '../../src/cli/agent-client.ts';
import { readKeys, readManifest } from '../../src/cli/context.ts';
import { ControlClient } from '../../src/cli/control-client.ts';
import { readTrust } from '../../src/cli/trust.ts';
import { openTrustedSession } from '../../src/cli/trusted-session.ts';
import type { SessionRole } from '../../src/crypto/session.ts';
import { parseAddress } from '../../src/rpc/address.ts';
import { makeParties, type Parties, PROCESS_REFERENCE, type System, startSystem } from '../harness/system.ts';
import { until } from '../harness/until.ts';
import type { Step } from './coverage.ts';

/** A real manager with its agents, driven through the public APIs alone, and every step that it tells of. */

const NO_TLS = { certificate: undefined, key: undefined, authority: undefined };
const PATIENCE = { limitMs: 60_000, everyMs: 20 } as const;

export interface Told extends Step {
  readonly address: string;
  readonly machine: string;
}

export class World {
  readonly system: System;
  readonly control: ControlClient;
  readonly told: Told[] = [];
  private readonly over = new AbortController();

  private constructor(system: System) {
    this.system = system;
    const listen = parseAddress(`unix:${system.file('run', 'manager.sock')}`);
    this.control = new ControlClient(listen, NO_TLS);
    void this.listen();
  }

  static async open(settings: NodeJS.ProcessEnv): Promise<World> {
    return new World(await startSystem(settings));
  }

  /** Goes on listening when the manager was away. */
  private async listen(): Promise<void> {
    let after = 0;
    while (!this.over.signal.aborted) {
      try {
        for await (const item of this.control.watch('', this.over.signal, after)) {
          if (item.kind === 'position') after = item.sequence;
          if (item.kind !== 'transition') continue;
          const { address, event, fromState, toState, sequence } = item.transition;
          after = sequence;
          this.told.push({ address, machine: machineOf(address), event, from: fromState, to: toState });
        }
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  /** Creates an enclave and gives its address. */
  async create(name: string, manifest: string | null): Promise<string> {
    const manifestJson = manifest === null ? '' : readFileSync(manifest, 'utf8');
    const request = { name, mode: '', vcpus: 0, memoryMib: 0, manifestJson };
    return (await this.control.create(request)).address;
  }

  /** Waits until an actor has come to a state. */
  async reaches(address: string, state: RegExp): Promise<void> {
    await until(
      `${address} to reach ${state}`,
      async () => {
        const actor = await this.control.get(address).catch(() => null);
        return actor !== null && state.test(actor.state);
      },
      PATIENCE,
    );
  }

  /** Waits until a step like this was told. */
  async tells(what: string, is: (step: Told) => boolean): Promise<void> {
    await until(`the manager to tell ${what}`, () => this.told.some(is), { limitMs: 60_000, everyMs: 10 });
  }

  async pid(address: string): Promise<number> {
    return z.number().parse((await this.control.get(address)).context['pid']);
  }

  /** A session with an agent as one party, through the relay. */
  async session(
    address: string,
    parties: LiveParties,
    party: string,
    role: SessionRole,
  ): Promise<Conversation> {
    const relay = z.string().parse((await this.control.get(address)).context['relayAddress']);
    const agent = new AgentClient(relay);
    const [manifest, { keys }, trust] = await Promise.all([
      readManifest(parties.manifest),
      readKeys(parties.file(`${party}.key`), undefined),
      readTrust({ policy: parties.policy, reference: parties.reference }, this.system.environment),
    ]);
    const { session } = await openTrustedSession(agent, trust, manifest, keys, role);
    return { session, close: () => agent.close() };
  }

  async close(): Promise<void> {
    await this.system.stop();
    this.over.abort();
    this.control.close();
  }
}

export interface Conversation {
  readonly session: AgentSession;
  close(): void;
}

/** A program that stands in for an agent and behaves as its name says; see `odd-agent.ts`. */
export function oddAgent(folder: string, kind: string): string {
  const outfile = path.join(folder, `${kind}.cjs`);
  mkdirSync(folder, { recursive: true });
  buildSync({
    entryPoints: [path.join(import.meta.dirname, 'odd-agent.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    logLevel: 'silent',
    external: ['*.node', 'node-vsock'],
    define: { 'import.meta.url': '"file:///"' },
  });
  return outfile;
}

/** Parties with their files in a folder of their own. */
export interface LiveParties extends Parties {
  file(...names: string[]): string;
}

export async function partiesOf(
  world: World,
  algorithm: string,
  {
    one = '1\n',
    consumers = [],
    reference = PROCESS_REFERENCE,
  }: { one?: string; consumers?: readonly string[]; reference?: string } = {},
): Promise<LiveParties> {
  const folder = mkdtempSync(world.system.file('parties-'));
  const file = (...names: string[]) => path.join(folder, ...names);
  const manifest = consumers.flatMap((name) => ['--consumer', file(`${name}.pub`)]);
  const options = { algorithm, datasets: { one }, reference, manifest };
  return { ...(await makeParties({ ...world.system, folder, file }, options)), file };
}

/** A copy of the parties' manifest with some of it changed. */
export function withManifest(parties: LiveParties, name: string, change: object): LiveParties {
  const manifest = parties.file(`${name}.json`);
  const before = z.looseObject({}).parse(JSON.parse(readFileSync(parties.manifest, 'utf8')));
  writeFileSync(manifest, JSON.stringify({ ...before, ...change }));
  return {
    ...parties,
    manifest,
    trust: (party) => parties.trust(party).map((word) => (word === parties.manifest ? manifest : word)),
  };
}

function machineOf(address: string): string {
  const [first, , kind] = address.split('/');
  return kind ?? first ?? '';
}
