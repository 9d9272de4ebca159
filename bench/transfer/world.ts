import { type ChildProcess, spawn } from 'node:child_process';
import { createCipheriv, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { PROCESS_REFERENCE, type System, startSystem, succeeded } from '../../test/harness/system.ts';
import type { Taken, Task } from './protocol.ts';

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
  /** Makes an enclave with a manifest of one dataset, `big`. */
  create(name: string, options: { readonly algorithm: string; readonly dataset: string }): Promise<Enclave>;
}

export interface Enclave {
  readonly trust: { readonly manifest: string; readonly policy: string; readonly reference: string };
  readonly relay: string;
  /** What its agent has used so far. */
  agent(): { readonly cpuSeconds: number; readonly peakMiB: number };
  /** Sends both inputs and waits for the result. */
  compute(algorithm: string, dataset: string): Promise<void>;
  remove(): Promise<void>;
}

export async function startEnclaves(): Promise<Enclaves> {
  const system = await startSystem({ COCOSAI_MODE: 'process' });
  const done = async (...args: readonly string[]) => succeeded(await system.cli(...args));
  await done('keys', 'generate', 'party', '--out', system.folder);
  const policy = system.file('policy.json');
  await done('attestation', 'policy', '--out', policy);
  const key = system.file('party.pub');
  let made = 0;
  return {
    system,
    create: async (name, { algorithm, dataset }) => {
      const manifest = system.file(`${name}-${made++}.json`);
      await done(
        ...['manifest', 'create', '--name', name, '--algorithm', `${algorithm}@${key}`],
        ...['--dataset', `big=${dataset}@${key}`, '--consumer', key, '--limit', 'diskMiB=8192'],
        ...['--limit', 'seconds=600', '--out', manifest],
      );
      await done('enclave', 'create', name, '--manifest', manifest);
      const shown = (await done('enclave', 'show', name, '-o', 'json')).json[0];
      return {
        trust: { manifest, policy, reference: PROCESS_REFERENCE },
        relay: Shown.parse(shown).context.relayAddress,
        agent: () => usage(agentPid()),
        compute: async (algorithmFile, datasetFile) => {
          const trust = ['--manifest', manifest, '--policy', policy, '--reference', PROCESS_REFERENCE];
          const own = [...trust, '--key', system.file('party.key')];
          await done('algo', name, algorithmFile, ...own);
          await done('data', name, 'big', datasetFile, ...own);
          await done('run', name, ...own);
        },
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
