import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  collect,
  makeParties,
  type Parties,
  PROCESS_REFERENCE,
  processesWith,
  type System,
  startSystem,
  succeeded,
} from '../harness/system.ts';

/** The main job with real processes and no virtual machine. */

const ALGORITHM = `
import os, json, sys
with open(os.path.join(os.environ["COCOS_DATASETS"], "numbers")) as f:
    total = sum(int(line) for line in f)
with open(os.path.join(os.environ["COCOS_RESULTS"], "sum.json"), "w") as f:
    json.dump({"sum": total}, f)
print("added up")
`;

describe('the main job in process mode', () => {
  let system: System;
  let parties: Parties;

  beforeAll(async () => {
    system = await startSystem({ COCOSAI_MODE: 'process' });
    const datasets = { numbers: '1\n2\n39\n' };
    parties = await makeParties(system, { algorithm: ALGORITHM, datasets, reference: PROCESS_REFERENCE });
  });

  afterAll(async () => {
    const { folder } = system;
    expect(await system.stop()).toBe(0);
    expect(processesWith(folder)).toEqual([]);
  });

  it('delivers the result to its consumer only', async () => {
    const cli = (...args: string[]) => system.cli(...args);
    succeeded(await cli('enclave', 'create', 'job', '--manifest', parties.manifest));
    const provider = parties.trust('provider');
    const consumer = parties.trust('consumer');
    succeeded(await cli('data', 'job', 'numbers', system.file('numbers'), ...provider));
    succeeded(await cli('algo', 'job', system.file('algorithm'), ...provider));
    const run = succeeded(await cli('run', 'job', ...consumer));
    expect(run.stderr).toContain('added up');

    const sealed = system.file('result.cocos');
    const notConsumer = await cli('result', 'get', 'job', '--out', sealed, ...provider);
    expect(notConsumer).toMatchObject({ code: 77, stderr: expect.stringMatching(/^KEY_NOT_IN_MANIFEST/m) });

    succeeded(await cli('result', 'get', 'job', '--out', sealed, ...consumer));
    expect(statSync(sealed).mode & 0o777).toBe(0o600);
    const wrongKey = ['--key', system.file('provider.key'), '--out', system.file('stolen')];
    const stolen = await cli('result', 'open', sealed, ...wrongKey);
    expect(stolen).toMatchObject({ code: 2, stderr: expect.stringMatching(/^CRYPTO_OPEN_FAILED/m) });
    expect(readdirSync(system.folder)).not.toContain('stolen');

    succeeded(await cli('result', 'open', sealed, '--out', system.file('opened'), ...consumer));
    expect(JSON.parse(readFileSync(system.file('opened', 'sum.json'), 'utf8'))).toEqual({ sum: 42 });
    const state = succeeded(await cli('actors', 'list', 'enclave')).stdout;
    expect(state).toMatch(/computation\s+computation\s+delivered/);
  });

  it('accepts only inputs with the SHA3-256 digests of the manifest', async () => {
    const cli = (...args: string[]) => system.cli(...args);
    const key = `@${system.file('provider.pub')}`;
    const folder = system.file('tree');
    mkdirSync(folder);
    writeFileSync(path.join(folder, 'main.py'), ALGORITHM);
    const manifest = system.file('sha3.json');
    const numbers = createHash('sha3-256').update('1\n2\n39\n').digest('hex');
    succeeded(
      await cli(
        ...['manifest', 'create', '--name', 'sha3', '--hash', 'sha3-256', '--algorithm', `${folder}${key}`],
        ...['--dataset', `numbers=sha3-256:${numbers}${key}`],
        ...['--consumer', system.file('consumer.pub'), '--out', manifest],
      ),
    );
    const trust = (party: string) =>
      parties.trust(party).map((each) => (each === parties.manifest ? manifest : each));
    succeeded(await cli('enclave', 'create', 'sha3', '--manifest', manifest));
    writeFileSync(system.file('others'), '1\n2\n40\n');
    expect(await cli('data', 'sha3', 'numbers', system.file('others'), ...trust('provider'))).toMatchObject({
      code: 65,
      stderr: expect.stringMatching(/^TRANSFER_DIGEST_MISMATCH/m),
    });
    succeeded(
      await cli('data', 'sha3', 'numbers', system.file('numbers'), ...trust('provider'), '--compress'),
    );
    succeeded(await cli('algo', 'sha3', folder, ...trust('provider')));
    succeeded(await cli('run', 'sha3', ...trust('consumer')));
    succeeded(await cli('result', 'get', 'sha3', '--out', system.file('sha3.res'), ...trust('consumer')));
    const verified = succeeded(await cli('result', 'verify', system.file('sha3.res'), ...trust('consumer')));
    expect(verified.stdout).toContain(`numbers sha3-256:${numbers}`);
  });

  it('answers every command in JSON with --json', async () => {
    const nonce = 'ab'.repeat(32);
    const evidence = system.file('evidence');
    const policy = ['--policy', parties.policy, '--reference', parties.reference];
    const commands: string[][] = [
      ['keys', 'generate', 'extra', '--out', system.folder],
      ['keys', 'show', system.file('extra.pub')],
      ['manifest', 'show', parties.manifest],
      ['manifest', 'digest', parties.manifest],
      ['enclave', 'create', 'json', '--manifest', parties.manifest],
      ['enclave', 'list'],
      ['enclave', 'show', 'json'],
      ['attestation', 'get', 'json', '--nonce', nonce, '--out', evidence],
      ['attestation', 'verify', evidence, '--nonce', nonce, ...policy],
      ['algo', 'json', system.file('algorithm'), ...parties.trust('provider')],
      ['data', 'json', 'numbers', system.file('numbers'), ...parties.trust('provider')],
      ['run', 'json', ...parties.trust('consumer')],
      ['result', 'get', 'json', '--out', system.file('second.cocos'), ...parties.trust('consumer')],
      ['result', 'verify', system.file('second.cocos'), ...parties.trust('consumer')],
      [
        'result',
        'open',
        system.file('second.cocos'),
        '--out',
        system.file('second'),
        ...parties.trust('consumer'),
      ],
      ['actors', 'list'],
      ['actors', 'show', 'manager'],
      ['enclave', 'stop', 'json'],
      ['enclave', 'remove', 'json'],
    ];
    for (const command of commands) {
      const { code, json, stdout, stderr } = await system.cli(...command, '-o', 'json');
      expect(code, `${command.join(' ')}: ${stderr}`).toBe(0);
      expect(json, command.join(' ')).toHaveLength(1);
      expect(stdout.trim().split('\n'), command.join(' ')).toHaveLength(1);
    }
  });

  it('is started and stopped by the keys of the manifest', async () => {
    const other = await startSystem({ COCOSAI_MODE: 'process' });
    try {
      const controlled = await makeParties(other, {
        algorithm: 'import time\ntime.sleep(60)\n',
        datasets: { numbers: '1\n' },
        reference: PROCESS_REFERENCE,
        manifest: ['--start', system.file('consumer.pub'), '--stop', system.file('provider.pub')],
      });
      const as = (party: string) => [
        ...[
          '--manifest',
          controlled.manifest,
          '--policy',
          controlled.policy,
          '--reference',
          PROCESS_REFERENCE,
        ],
        ...['--key', system.file(`${party}.key`)],
      ];
      succeeded(await other.cli('enclave', 'create', 'held', '--manifest', controlled.manifest));
      succeeded(await other.cli('algo', 'held', other.file('algorithm'), ...controlled.trust('provider')));
      succeeded(
        await other.cli('data', 'held', 'numbers', other.file('numbers'), ...controlled.trust('provider')),
      );
      const computation = async () => {
        const List = z.array(z.looseObject({ address: z.string(), state: z.string() }));
        const [list] = succeeded(await other.cli('actors', 'list', '-o', 'json')).json;
        return List.parse(list).find((actor) => actor.address.endsWith('/computation'))?.state;
      };
      expect(await computation()).toBe('ready');
      const run = collect(other.spawnCli('run', 'held', ...as('consumer')));
      await expect.poll(computation).toBe('running');
      const mayNotStop = await other.cli('stop', 'held', ...as('consumer'));
      expect(mayNotStop).toMatchObject({ code: 77, stderr: expect.stringMatching(/^KEY_NOT_IN_MANIFEST/m) });
      const isNobody = await other.cli('stop', 'held', ...controlled.trust('consumer'));
      expect(isNobody).toMatchObject({ code: 77, stderr: expect.stringMatching(/^KEY_NOT_IN_MANIFEST/m) });
      expect(await computation()).toBe('running');
      succeeded(await other.cli('stop', 'held', ...as('provider')));
      expect(await run).toMatchObject({ code: 1, stderr: expect.stringMatching(/^CANCELLED/m) });
      expect(await computation()).toBe('stopped');

      // The host may stop a computation as well: that is availability, which it has in its hands anyway.
      succeeded(await other.cli('enclave', 'remove', 'held'));
      succeeded(await other.cli('enclave', 'create', 'held', '--manifest', controlled.manifest));
      const [address = ''] =
        /enclave\/\w+\/computation/.exec(succeeded(await other.cli('actors', 'list')).stdout) ?? [];
      succeeded(await other.cli('actors', 'send', address, 'computation.stop'));
      await expect.poll(computation).toBe('stopped');
    } finally {
      expect(await other.stop()).toBe(0);
    }
  });
});
