import { type ChildProcess, spawn } from 'node:child_process';
import { createCipheriv, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { PROCESS_REFERENCE, type System, startSystem, succeeded } from '../../test/harness/system.ts';
import type { SealedTask, Taken, Task } from './protocol.ts';

/** The processes that the transfer benchmarks measure. */

const FOLDER = path.dirname(fileURLToPath(import.meta.url));
const TakenLine = z.strictObject({ seconds: z.number(), cpuSeconds: z.number(), peakMiB: z.number() });
const Shown = z.looseObject({ context: z.looseObject({ relayAddress: z.string() }) });

export const MIB = 1024 * 1024;

export async function transfer(task: Task): Promise<Taken> {
  const child = script('client.ts', [JSON.stringify(task)]);
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${task.kind} ended with ${code}`);
  return TakenLine.parse(JSON.parse(text));
}

export interface Sink {
  readonly target: string;
  stop(): Promise<void>;
}

export async function startSink(tls: boolean): Promise<Sink> {
  const child = script('sink.ts', tls ? ['tls'] : []);
  const [line] = await once(child.stdout ?? process.stdin, 'data');
  return {
    target: `127.0.0.1:${Number(String(line))}`,
    stop: async () => {
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}

function script(name: string, args: readonly string[]): ChildProcess {
  return spawn(process.execPath, ['--import', 'tsx', path.join(FOLDER, name), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/** A file of bytes that no compression shortens. */
export async function makeFile(file: string, bytes: number): Promise<void> {
  const cipher = createCipheriv('aes-256-ctr', randomBytes(32), randomBytes(16));
  const zeros = Buffer.alloc(MIB);
  const out = await open(file, 'w');
  for (let left = bytes; left > 0; left -= MIB)
    await out.write(cipher.update(zeros.subarray(0, Math.min(left, MIB))));
  await out.close();
}

/** An algorithm with a result of this size that no compression shortens. */
export function randomResult(sizeMiB: number): string {
  return `
import os
block = os.urandom(${MIB})
with open(os.path.join(os.environ["COCOS_RESULTS"], "out"), "wb") as f:
    for _ in range(${sizeMiB}):
        f.write(block)
`;
}

export interface Enclaves {
  readonly system: System;
  /** Makes an enclave with a manifest of files, all of them of one party. */
  create(name: string, inputs: Inputs): Promise<Enclave>;
}

interface Inputs {
  readonly algorithm: string;
  /** Files by the names of the datasets. */
  readonly datasets: Readonly<Record<string, string>>;
}

interface EnclavesOptions {
  readonly mode: 'process' | 'vm';
  readonly reference: string;
  /** More options of `enclave create`. */
  readonly size?: readonly string[];
}

const IN_PROCESS_MODE: EnclavesOptions = { mode: 'process', reference: PROCESS_REFERENCE };

export interface Enclave {
  /** What a sealed transfer of the party needs. */
  readonly party: Pick<SealedTask, 'relay' | 'manifest' | 'policy' | 'reference' | 'key'>;
  /** What its agent has used so far; in process mode. */
  agent(): { readonly cpuSeconds: number; readonly peakMiB: number };
  sendAlgorithm(file: string): Promise<void>;
  sendDataset(name: string, file: string): Promise<void>;
  /** Waits for the result. */
  run(): Promise<void>;
  remove(): Promise<void>;
}

export async function startEnclaves(options = IN_PROCESS_MODE): Promise<Enclaves> {
  const { mode, reference, size = [] } = options;
  const system = await startSystem({ COCOSAI_MODE: mode });
  const done = async (...args: readonly string[]) => succeeded(await system.cli(...args));
  await done('keys', 'generate', 'party', '--out', system.folder);
  const policy = system.file('policy.json');
  await done('attestation', 'policy', '--out', policy);
  const [key, publicKey] = [system.file('party.key'), system.file('party.pub')];
  let made = 0;
  return {
    system,
    create: async (name, { algorithm, datasets }) => {
      const manifest = system.file(`${name}-${made++}.json`);
      await done(
        ...['manifest', 'create', '--name', name, '--algorithm', `${algorithm}@${publicKey}`],
        ...Object.entries(datasets).flatMap(([input, file]) => [
          '--dataset',
          `${input}=${file}@${publicKey}`,
        ]),
        ...['--consumer', publicKey, '--limit', 'diskMiB=8192', '--limit', 'seconds=600', '--out', manifest],
      );
      await done('enclave', 'create', name, '--manifest', manifest, ...size);
      const shown = (await done('enclave', 'show', name, '-o', 'json')).json[0];
      const relay = Shown.parse(shown).context.relayAddress;
      const trust = ['--manifest', manifest, '--policy', policy, '--reference', reference, '--key', key];
      return {
        party: { relay, manifest, policy, reference, key },
        agent: () => usage(agentPid()),
        sendAlgorithm: async (file) => void (await done('algo', name, file, ...trust)),
        sendDataset: async (input, file) => void (await done('data', name, input, file, ...trust)),
        run: async () => void (await done('run', name, ...trust)),
        remove: async () => void (await done('enclave', 'remove', name)),
      };
    },
  };

  /** The one agent below this system's manager. */
  function agentPid(): number {
    for (const entry of readdirSync('/proc')) {
      if (!/^\d+$/.test(entry)) continue;
      try {
        if (!readFileSync(`/proc/${entry}/cmdline`, 'utf8').includes('cocos-agent.js')) continue;
        if (readFileSync(`/proc/${entry}/environ`, 'utf8').includes(system.folder)) return Number(entry);
      } catch {
        // It has ended, or is another user's.
      }
    }
    throw new Error('the agent is not there');
  }
}

/** USER_HZ, which Linux tells every program as 100. */
const TICKS = 100;

function usage(pid: number): { cpuSeconds: number; peakMiB: number } {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  const peak = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return { cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS, peakMiB: Number(peak) / 1024 };
}
