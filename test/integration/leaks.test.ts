import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { findingsFile, hasFindings } from '../findings.ts';
import { type Canary, findIn, findInFile, makeCanary } from '../harness/canary.ts';
import { findInHostFiles } from '../harness/secret-job.ts';
import { RestartableService } from '../harness/serve-computations.ts';
import {
  collect,
  makeParties,
  type Parties,
  PROCESS_REFERENCE,
  type System,
  show,
  startSystem,
  succeeded,
} from '../harness/system.ts';

/**
 * Algorithms that try to tell the host what is in a dataset. The search goes through everything that the manager, its
 * clients, the management service and a party that is no consumer are told.
 */

/** Says the dataset in the name of its process, in its arguments, on both streams, in names of results, and in a result. */
const LOUD = `
import os, subprocess, sys
data = open("/cocos/datasets/d.csv").read().strip()
with open("/proc/self/comm", "w") as f:
    f.write(data[:15])
subprocess.run(["/bin/sh", "-c", "exec -a " + data + " sleep 0 2>/dev/null; :", data])
print(data)
print(data, file=sys.stderr)
os.chdir("/cocos/results")
open(data, "w").write(data)
os.symlink("/" + data, "link-" + data)
os.mkfifo("pipe-" + data)
`;

const ATTACKS: readonly (readonly [string, () => string, 'delivered' | 'failed'])[] = [
  ['says it everywhere', () => LOUD, 'delivered'],
  ['says it everywhere and fails', () => `${LOUD}sys.exit(ord(data[0]))\n`, 'failed'],
  ['says it in an exception', () => 'raise ValueError(open("/cocos/datasets/d.csv").read())\n', 'failed'],
  ['ends by a signal of its choice', () => `${LOUD}os.kill(os.getpid(), 11)\n`, 'failed'],
  [
    'prints escape sequences',
    () => 'import sys\nsys.stderr.write("\\x1b]0;owned\\x07\\x1b[2J ACCEPTED \\u202e\\n")\nsys.exit(1)\n',
    'failed',
  ],
  ['fills the disk after it', () => `${LOUD}open("big", "wb").write(bytes(400 << 20))\n`, 'failed'],
];
const FOUND = ['leak1.py', 'leak2.py', 'esc.py', 'poison.py'] as const;

interface Told {
  /** By who said it. */
  readonly said: Record<string, string>;
  /** Files of the manager that hold the canary. */
  readonly files: string[];
  /** What the consumer was shown. */
  readonly seen: string;
  readonly state: string;
}

const Events = z.looseObject({ kind: z.string() });

describe('an algorithm', () => {
  let folder: string;
  let service: RestartableService;
  let system: System;

  beforeAll(async () => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'cocos-l-'));
    service = await RestartableService.open(path.join(folder, 'journal.jsonl'));
    system = await startSystem({ COCOSAI_MODE: 'process', COCOSAI_SERVICE: service.address });
  });

  afterAll(async () => {
    try {
      expect(await system.stop()).toBe(0);
    } finally {
      await service.current.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });

  async function define(parties: Parties): Promise<string> {
    const id = await service.current.define(JSON.parse(readFileSync(parties.manifest, 'utf8')));
    const answered = () => service.current.computations.get(id)?.enclaveId ?? null;
    await expect.poll(answered).not.toBeNull();
    const enclave = String(answered());
    await expect.poll(async () => (await show(system, enclave)).state).toBe('alive.ready');
    return enclave;
  }

  /** Carries the job to its end and returns what was said about it. */
  async function told(source: string, canary: Canary): Promise<Told> {
    for (const name of [
      'provider.key',
      'provider.pub',
      'consumer.key',
      'consumer.pub',
      'stranger.key',
      'stranger.pub',
      'manifest.json',
      'policy.json',
    ])
      rmSync(system.file(name), { force: true });
    const parties = await makeParties(system, {
      algorithm: source,
      datasets: { 'd.csv': `${canary.text}\n` },
      reference: PROCESS_REFERENCE,
    });
    const enclave = await define(parties);
    const watches = [
      system.spawnCli('actors', 'watch'),
      system.spawnCli('actors', 'watch', '-o', 'json'),
      system.spawnCli('enclave', 'watch', enclave),
    ];
    const watched = watches.map(collect);
    const provider = collect(system.spawnCli('run', enclave, ...parties.trust('provider'), '-o', 'json'));
    succeeded(await system.cli('data', enclave, 'd.csv', system.file('d.csv'), ...parties.trust('provider')));
    succeeded(await system.cli('algo', enclave, system.file('algorithm'), ...parties.trust('provider')));
    const run = await system.cli('run', enclave, ...parties.trust('consumer'));
    const out = path.join(folder, `${canary.text.slice(0, 8)}.cocos`);
    await system.cli('result', 'get', enclave, '--out', out, ...parties.trust('consumer'));
    const { address } = await show(system, enclave);
    const stateOf = async () => (await show(system, `${address}/computation`)).state;
    await expect.poll(stateOf).toMatch(/^(failed|delivered)$/);
    const state = await stateOf();
    const followed = await provider;
    const said: Record<string, string> = {
      provider: followed.stdout + followed.stderr,
      list: (await system.cli('actors', 'list', '-o', 'json')).stdout,
      show: (await system.cli('enclave', 'show', enclave, '-o', 'json')).stdout,
      computation: (await system.cli('actors', 'show', `${address}/computation`, '-o', 'json')).stdout,
    };
    // With the service's stop the manager removes the enclave and its files.
    const files = findInHostFiles(system, [canary]);
    await service.current.stop(JSON.parse(readFileSync(parties.manifest, 'utf8')).id);
    const ended = async () => (await service.events()).some((each) => each.toState === 'stopped.settled');
    await expect.poll(ended).toBe(true);
    for (const watch of watches) watch.kill('SIGTERM');
    (await Promise.all(watched)).forEach((result, index) => {
      said[`watch ${index}`] = result.stdout + result.stderr;
    });
    said['service'] = readFileSync(service.file, 'utf8');
    return { said, files: [...files, ...findInHostFiles(system, [canary])], seen: run.stderr, state };
  }

  async function expectSilence(source: string, state: 'delivered' | 'failed'): Promise<void> {
    const canary = makeCanary('dataset');
    const { said, files, seen, state: reached } = await told(source, canary);
    expect(reached).toBe(state);
    for (const [who, text] of Object.entries(said)) {
      expect(text, who).not.toBe('');
      expect(findIn(Buffer.from(text), [canary]), who).toEqual([]);
      // A piece of it is as good, and so is the digest of a result that can be guessed.
      for (const piece of [canary.text.slice(0, 15), createHash('sha256').update(canary.text).digest('hex')])
        expect(text.includes(piece), who).toBe(false);
    }
    expect(files).toEqual([]);
    expect(findInFile(service.file, [canary])).toEqual([]);
    expect(seen).not.toMatch(/[\p{Cf}]|(?!\n)\p{Cc}/u);
    // The link lived through it: every event of the service is one of the closed sets.
    for (const line of said['service']?.trim().split('\n') ?? []) Events.parse(JSON.parse(line));
  }

  it.each(ATTACKS)('that %s tells nobody but its consumers', async (_, source, state) => {
    await expectSilence(source(), state);
  });

  it.skipIf(!hasFindings).each(FOUND)('of the findings, %s, tells nobody but its consumers', async (name) => {
    await expectSilence(
      readFileSync(findingsFile('attacks', name), 'utf8'),
      name === 'leak2.py' ? 'delivered' : 'failed',
    );
  });
});
