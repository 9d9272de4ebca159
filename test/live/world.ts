import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { readKeys } from '../../src/cli/key-files.ts';
import { readManifest } from '../../src/cli/manifest-file.ts';
import { AgentClient, type AgentSession } from '../../src/cli/transfer/agent-client.ts';
import { readTrust } from '../../src/cli/trust/trust.ts';
import { openTrustedSession } from '../../src/cli/trust/trusted-session.ts';
import type { SessionRole } from '../../src/protocol/session.ts';
import { parseAddress } from '../../src/rpc/address.ts';
import { ControlClient } from '../../src/rpc/control-client.ts';
import type { Traced } from '../harness/read-trace.ts';
import {
  endLeft,
  makeParties,
  type Parties,
  PROCESS_REFERENCE,
  type System,
  startSystem,
  succeeded,
} from '../harness/system.ts';
import { until } from '../harness/until.ts';
import type { Step } from './coverage.ts';
import { TRACE_FILE, traced } from './trace.ts';

/** A real manager with its agents, driven through the public APIs alone, and every step that it tells of. */

const NO_TLS = { certificate: undefined, key: undefined, authority: undefined };
const PATIENCE = { limitMs: 600_000, everyMs: 20 } as const;

export interface PublishedStep extends Step {
  readonly address: string;
  readonly machine: string;
}

type Found = Awaited<ReturnType<ControlClient['get']>>;

export class World {
  readonly system: System;
  readonly control: ControlClient;
  readonly published: PublishedStep[] = [];
  private readonly over = new AbortController();

  private constructor(system: System) {
    this.system = system;
    const listen = parseAddress(`unix:${system.file('run', 'manager.sock')}`);
    this.control = new ControlClient(listen, NO_TLS);
    void this.listen();
  }

  static async open(settings: NodeJS.ProcessEnv): Promise<World> {
    return new World(await startSystem({ COCOSAI_TRACE: TRACE_FILE, ...settings }));
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
          this.published.push({ address, machine: machineOf(address), event, from: fromState, to: toState });
        }
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  /** Creates an enclave and gives its address. */
  async create(name: string, manifest: string | null): Promise<string> {
    const manifestJson = manifest === null ? '' : readFileSync(manifest, 'utf8');
    const request = { name, mode: '', platform: '', vcpus: 0, memoryMib: 0, manifestJson };
    return (await this.control.create(request)).address;
  }

  /** Waits until an actor has come to a state. */
  async reaches(address: string, state: RegExp): Promise<void> {
    await this.finds(address, (actor) => state.test(actor.state), `to reach ${state}`);
  }

  /** Waits until an actor is like this. */
  async finds(address: string, is: (actor: Found) => boolean, what = 'to be found'): Promise<void> {
    await until(
      `${address} ${what}`,
      async () => {
        const actor = await this.control.get(address).catch(() => null);
        return actor !== null && is(actor);
      },
      PATIENCE,
    );
  }

  /** Waits until a step like this was published. */
  async publishes(what: string, is: (step: PublishedStep) => boolean): Promise<void> {
    await until(`the manager to publish ${what}`, () => this.published.some(is), {
      limitMs: 600_000,
      everyMs: 10,
    });
  }

  /** Waits until a program of this machine has traced a step like this; it may be of another world. */
  async traces(what: string, is: (step: Traced) => boolean): Promise<void> {
    await until(`a trace of ${what}`, () => traced().some(is), { limitMs: 600_000, everyMs: 50 });
  }

  /** Creates an enclave and waits until it is ready. */
  async ready(name: string, manifest: string | null = null): Promise<string> {
    const address = await this.create(name, manifest);
    await this.reaches(address, /^alive\.ready$/);
    return address;
  }

  /** Brings an enclave or a computation to a stop. */
  async stop(address: string): Promise<void> {
    const type = address.endsWith('/computation') ? 'computation.stop' : 'enclave.stop';
    await this.control.send(address, { type });
  }

  /** Sends the algorithm and the dataset of a party's manifest. */
  async feed(name: string, parties: LiveParties): Promise<void> {
    const provider = parties.trust('provider');
    succeeded(await this.system.cli('algo', name, parties.file('algorithm'), ...provider));
    succeeded(await this.system.cli('data', name, 'one', parties.file('one'), ...provider));
  }

  async signal(address: string, signal: NodeJS.Signals): Promise<void> {
    process.kill(await this.pid(address), signal);
  }

  /** Where a process guest's sockets for its ports are. */
  portFile(address: string, port: number): string {
    return this.system.file('run', idOf(address), 'ports', `${port}.sock`);
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
    const agent = await AgentClient.open(relay, {});
    const [manifest, { keys }, trust] = await Promise.all([
      readManifest(parties.manifest),
      readKeys(parties.file(`${party}.key`), undefined),
      readTrust({ policy: parties.policy, reference: parties.reference }, this.system.environment),
    ]);
    const { session } = await openTrustedSession(agent, trust, manifest, keys, role);
    return { session, close: () => agent.close() };
  }

  /** The exit code of the manager. */
  async close(): Promise<number | null> {
    const code = await this.system.stop();
    endLeft(this.system.folder);
    this.over.abort();
    this.control.close();
    return code;
  }
}

export interface Conversation {
  readonly session: AgentSession;
  close(): void;
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

/** How a path is gone: in a world with these settings, which is left in any case. Gives what the manager published. */
export async function inWorld(
  settings: NodeJS.ProcessEnv,
  walk: (world: World) => Promise<void>,
): Promise<readonly PublishedStep[]> {
  const world = await World.open({ COCOSAI_MODE: 'process', COCOSAI_MAX_ENCLAVES: '64', ...settings });
  try {
    await walk(world);
  } catch (cause) {
    const log = readFileSync(world.system.file('manager.log'), 'utf8').slice(-4_000);
    throw new Error(`what the manager said last:\n${log}`, { cause });
  } finally {
    await world.close();
  }
  return world.published;
}

function machineOf(address: string): string {
  const [first, , kind] = address.split('/');
  return kind ?? first ?? '';
}

export function idOf(enclave: string): string {
  return enclave.split('/')[1] ?? '';
}

const ManifestText = z.looseObject({
  algorithm: z.looseObject({ provider: z.string(), digest: z.string() }),
});

export function manifestOf(parties: LiveParties): z.infer<typeof ManifestText> {
  return ManifestText.parse(JSON.parse(readFileSync(parties.manifest, 'utf8')));
}
