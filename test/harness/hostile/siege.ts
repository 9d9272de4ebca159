import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentClient } from '../../../src/cli/transfer/agent-client.ts';
import { parseAddress } from '../../../src/rpc/address.ts';
import { ControlClient } from '../../../src/rpc/control-client.ts';
import { ChangingAgent } from '../../live/agents.ts';
import { CARRIED_DATASETS, carry, doubling } from '../carry.ts';
import { forgetPeak, peakBytes, residentBytes } from '../memory.ts';
import {
  makeParties,
  type Parties,
  ROOT,
  restartManager,
  type System,
  show,
  startSystem,
  succeeded,
} from '../system.ts';

/** A manager with one honest enclave, under attack by another enclave's guest or by its management service. */

export type Attacker = 'guest' | 'service';

/** Milliseconds that each kind of request took, in order. */
export type Latencies = Readonly<Record<'control' | 'evidence', readonly number[]>>;

export interface SiegeReport {
  readonly usual: Latencies;
  readonly attacked: Latencies;
  /** Bytes by which the memory of the manager grew at most. */
  readonly grownBytes: number;
  /** Names of the attacks that were finished, in order. */
  readonly attacks: readonly string[];
  /** Enclaves of the attacker that were made. */
  readonly enclaves: number;
}

interface SiegeOptions {
  readonly attacker: Attacker;
  readonly seed: number;
  /** A folder for the programs of the attack. */
  readonly folder: string;
  /** Requests of each kind before the attack. */
  readonly usualRequests: number;
  /** Whether it may end; asked again and again with the names of the attacks that were finished. */
  readonly isOver: (attacks: readonly string[]) => boolean;
  readonly report?: (line: string) => void;
}

const HERE = import.meta.dirname;
const NO_TLS = { certificate: undefined, key: undefined, authority: undefined };
/** Between two requests. */
const PAUSE_MS = 50;

/** Runs the attack, restarts the manager, and carries a job of the honest enclave to its end. Throws if anything fails. */
export async function besiege(options: SiegeOptions): Promise<SiegeReport> {
  const { attacker, seed, folder } = options;
  const attacks = path.join(folder, 'attacks');
  writeFileSync(attacks, '');
  const agent = new ChangingAgent(folder, path.join(HERE, 'guest.ts'));
  agent.becomeReal('');
  const service = attacker === 'service' ? await startService(folder, seed, attacks) : null;
  const system = await startSystem({
    COCOSAI_MODE: 'process',
    COCOSAI_AGENT: agent.program,
    ...(service === null ? {} : { COCOSAI_SERVICE: service.address }),
  });
  const control = new ControlClient(parseAddress(`unix:${system.file('run', 'manager.sock')}`), NO_TLS);
  try {
    const parties = await makeParties(system, {
      algorithm: doubling(0),
      datasets: CARRIED_DATASETS,
      reference: agent.reference(),
    });
    succeeded(await system.cli('enclave', 'create', 'honest', '--manifest', parties.manifest));
    const { address, context } = await show(system, 'honest');
    const probe = { control, relay: String(context['relayAddress']), address };
    const usual = empty();
    for (let count = 0; count < options.usualRequests; count++) await measure(probe, usual);
    const pid = system.manager.pid ?? 0;
    const before = residentBytes(pid);
    forgetPeak(pid);
    const attacked = empty();
    const finished = () => readFileSync(attacks, 'utf8').split('\n').slice(0, -1);
    let enclaves = 0;
    if (attacker === 'guest') agent.becomeOdd(String(seed), { COCOS_ATTACKS: attacks });
    else service?.begin();
    let reported = 0;
    while (!options.isOver(finished())) {
      if (attacker === 'guest' && (await isMissing(control, enclaves))) {
        enclaves += 1;
        const request = {
          name: `hostile${enclaves}`,
          mode: '',
          platform: '',
          vcpus: 0,
          memoryMib: 0,
          manifestJson: '',
        };
        await control.create(request);
      }
      await measure(probe, attacked);
      if (finished().length >= reported + 20) {
        reported = finished().length;
        const grown = Math.round((residentBytes(pid) - before) / 2 ** 20);
        options.report?.(`${reported} attacks, ${attacked.control.length} requests, ${grown} MiB more`);
      }
    }
    const grownBytes = peakBytes(pid) - before;
    await service?.stop();
    await endHostileEnclaves(control);
    await finish(system, parties);
    return { usual, attacked, grownBytes, attacks: finished(), enclaves };
  } catch (cause) {
    const log = readFileSync(system.file('manager.log'), 'utf8').slice(-2_000);
    throw new Error(`the manager did not withstand it; the end of its log:\n${log}`, { cause });
  } finally {
    control.close();
    await service?.stop();
    await system.stop();
  }
}

/** Each enclave is its guest's until it has failed. */
async function isMissing(control: ControlClient, made: number): Promise<boolean> {
  if (made === 0) return true;
  const last = await control.get(`hostile${made}`).catch(() => null);
  return last === null || last.state === 'failed.settled' || last.state === 'stopped.settled';
}

async function endHostileEnclaves(control: ControlClient): Promise<void> {
  const enclaves = (await control.list('enclave/')).filter(({ machine }) => machine === 'enclave');
  for (const { address, context } of enclaves) {
    if (context['name'] !== 'honest') await control.remove(address).catch(() => undefined);
  }
}

/** The manager is killed and comes back clean: the honest enclave has its guest, and computes. */
async function finish(system: System, parties: Parties): Promise<void> {
  const before = await show(system, 'honest');
  await restartManager(system);
  const after = await show(system, 'honest');
  if (after.context['pid'] !== before.context['pid']) throw new Error('the honest enclave has another guest');
  await carry(system, 'honest', parties.trust);
  succeeded(await system.cli('enclave', 'remove', 'honest'));
}

interface Probe {
  readonly control: ControlClient;
  /** Address. */
  readonly relay: string;
  readonly address: string;
}

type Samples = { readonly [Kind in keyof Latencies]: number[] };
const empty = (): Samples => ({ control: [], evidence: [] });

/** One request to the manager, and one to the honest agent, which needs its link and a report of the manager. */
async function measure({ control, relay, address }: Probe, samples: Samples): Promise<void> {
  const begin = performance.now();
  const { state } = await control.get(address);
  samples.control.push(performance.now() - begin);
  if (state !== 'alive.ready') throw new Error(`the honest enclave is ${state}`);
  const asked = performance.now();
  // A participant that has no session yet; the agent closes its connection after a while.
  const agent = await AgentClient.open(relay, {});
  try {
    await agent.evidence(randomBytes(32));
  } finally {
    await agent.close();
  }
  samples.evidence.push(performance.now() - asked);
  await sleep(PAUSE_MS);
}

interface HostileService {
  readonly address: string;
  /** Until then it is an honest one that asks for nothing. */
  begin(): void;
  stop(): Promise<void>;
}

async function startService(folder: string, seed: number, attacks: string): Promise<HostileService> {
  const manifest = path.join(folder, 'hostile-manifest.json');
  const key = (letter: string) => `ed25519:${letter.repeat(43)}`;
  const digest = `sha256:${'0'.repeat(64)}`;
  const provider = key('A');
  writeFileSync(
    manifest,
    JSON.stringify({
      ...{ version: 1, id: 'served', name: 'served', datasets: [] },
      algorithm: { kind: 'python', digest, provider, arguments: [] },
      consumers: [{ signing: provider, kem: `x25519:${'A'.repeat(43)}` }],
      limits: { seconds: 60, memoryMiB: 64, diskMiB: 64, processes: 8 },
      ...{ start: 'auto', stop: [] },
    }),
  );
  const program = ['--import', 'tsx', path.join(HERE, 'service.ts'), String(seed), manifest, attacks];
  const child: ChildProcess = spawn(process.execPath, program, {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(child.stdout ?? process.stdin, 'data');
  return {
    address: String(line).trim(),
    begin: () => void child.kill('SIGUSR1'),
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}
