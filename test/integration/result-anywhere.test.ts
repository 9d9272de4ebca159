import { execFile, spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  makeParties,
  type Parties,
  PROCESS_REFERENCE,
  ROOT,
  type System,
  startSystem,
  succeeded,
} from '../harness/system.ts';
import { Seeded } from '../seeded.ts';

/** A result of a real run, on a machine of an auditor that has only the command line: no packages, no manager, no network. */

const FILES = ['result', 'manifest.json', 'policy.json', 'reference.json'] as const;
const UNSHARE = '/usr/bin/unshare';
const CAN_UNSHARE = spawnSync(UNSHARE, ['-n', 'true']).status === 0;
const Verification = z.object({
  outcome: z.string(),
  counts: z.object({ passed: z.number(), failed: z.number(), notChecked: z.number() }),
  checks: z.array(z.object({ name: z.string(), outcome: z.string(), detail: z.string() })),
});

describe('a result on a machine that has only the command line', () => {
  let system: System;
  let parties: Parties;
  let machine: string;
  const at = (name: string) => path.join(machine, name);

  beforeAll(async () => {
    system = await startSystem({ COCOSAI_MODE: 'process' });
    parties = await makeParties(system, {
      algorithm: 'open("/cocos/results/answer", "w").write("42")\n',
      datasets: {},
      reference: PROCESS_REFERENCE,
    });
    succeeded(await system.cli('enclave', 'create', 'job', '--manifest', parties.manifest));
    succeeded(await system.cli('algo', 'job', system.file('algorithm'), ...parties.trust('provider')));
    const consumer = parties.trust('consumer');
    succeeded(await system.cli('run', 'job', ...consumer));
    succeeded(await system.cli('result', 'get', 'job', '--out', system.file('result'), ...consumer));

    machine = mkdtempSync(path.join(os.tmpdir(), 'cocos-auditor-'));
    copyFileSync(path.join(ROOT, 'dist/cocos-cli.js'), at('cocos-cli.js'));
    cpSync(path.join(ROOT, 'dist/cli'), at('cli'), { recursive: true });
    for (const [from, to] of [
      [system.file('result'), 'result'],
      [parties.manifest, 'manifest.json'],
      [parties.policy, 'policy.json'],
      [PROCESS_REFERENCE, 'reference.json'],
    ] as const) {
      copyFileSync(from, at(to));
    }
    // The enclave, its manager and its host are gone when the auditor looks.
    expect(await system.stop()).toBe(0);
  });

  afterAll(() => rmSync(machine, { recursive: true, force: true }));

  /** Without network, where this user may make a namespace. */
  async function verify(change: Partial<Record<(typeof FILES)[number], string>> = {}) {
    const [result = '', manifest = '', policy = '', reference = ''] = FILES.map(
      (name) => change[name] ?? name,
    );
    const command = [
      ...[process.execPath, 'cocos-cli.js', 'result', 'verify', result, '--manifest', manifest],
      ...['--policy', policy, '--reference', reference, '-o', 'json'],
    ];
    const offline = CAN_UNSHARE ? [UNSHARE, '-n', ...command] : command;
    const [program = '', ...args] = offline;
    const { code, stdout } = await promisify(execFile)(program, args, { cwd: machine, env: {} }).then(
      (done) => ({ code: 0, stdout: done.stdout }),
      (thrown: unknown) => z.object({ code: z.number(), stdout: z.string() }).parse(thrown),
    );
    const json: unknown = JSON.parse(stdout);
    const verification = Verification.safeParse(json);
    if (!verification.success)
      return { code, error: z.object({ error: z.object({ code: z.string() }) }).parse(json).error.code };
    const { outcome, checks, counts } = verification.data;
    return {
      code,
      outcome,
      counts,
      failed: checks.filter((each) => each.outcome === 'failed').map(({ name }) => name),
    };
  }

  it('is verified when it is genuine, and the numbers say so', async () => {
    expect(await verify()).toEqual({
      code: 0,
      outcome: 'verified',
      failed: [],
      counts: { passed: 9, failed: 0, notChecked: 0 },
    });
  });

  it('is rejected by another policy, reference or manifest, which is named', async () => {
    const edit = (from: string, to: string, change: (json: Record<string, unknown>) => unknown) =>
      writeFileSync(at(to), JSON.stringify(change(JSON.parse(readFileSync(at(from), 'utf8')))));
    edit('policy.json', 'policy2.json', (json) => ({ ...json, allowDebug: true }));
    edit('reference.json', 'reference2.json', (json) => ({ ...json, eosVersion: 'other' }));
    edit('manifest.json', 'manifest2.json', (json) => ({ ...json, name: 'other' }));
    expect(await verify({ 'policy.json': 'policy2.json' })).toMatchObject({ code: 2, failed: ['policy'] });
    expect(await verify({ 'reference.json': 'reference2.json' })).toMatchObject({
      code: 2,
      failed: ['reference', 'evidence'],
    });
    expect(await verify({ 'manifest.json': 'manifest2.json' })).toMatchObject({
      code: 2,
      outcome: 'rejected',
    });
  });

  it('is rejected with any byte flipped, and the problem is named', async () => {
    const bytes = readFileSync(at('result'));
    const seed = Math.floor(Math.random() * 2 ** 31);
    const random = new Seeded(seed);
    for (let count = 0; count < 12; count += 1) {
      const position = Math.floor(random.next() * bytes.length);
      const flipped = Buffer.from(bytes);
      flipped.writeUInt8(flipped.readUInt8(position) ^ (1 << Math.floor(random.next() * 8)), position);
      writeFileSync(at('flipped'), flipped);
      const found = await verify({ result: 'flipped' });
      const where = `seed ${seed}, byte ${position}`;
      expect(found.code, where).toBe(2);
      expect('error' in found ? found.error : found.failed.join(), where).not.toBe('');
    }
  });
});
