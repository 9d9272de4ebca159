import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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

/** What each party is told about a run that fails, and about one that it may not start. */

const ALGORITHM = 'print("step one")\nraise ValueError("the reason of the failure")\n';

describe('a run that fails', () => {
  let system: System;
  let parties: Parties;

  beforeAll(async () => {
    system = await startSystem({ COCOSAI_MODE: 'process' });
    const key = (name: string) => system.file(`${name}.pub`);
    parties = await makeParties(system, {
      algorithm: ALGORITHM,
      datasets: {},
      reference: PROCESS_REFERENCE,
      manifest: ['--start', key('consumer')],
    });
  });

  afterAll(async () => {
    expect(await system.stop()).toBe(0);
  });

  it('is started by the party that may, and shows its log to the consumer and a pointer to the others', async () => {
    succeeded(await system.cli('enclave', 'create', 'job', '--manifest', parties.manifest));
    const { address } = await show(system, 'job');
    // Both wait before the input has arrived. The provider may not start the run; the consumer does when it is ready.
    const provider = collect(system.spawnCli('run', 'job', ...parties.trust('provider')));
    const consumer = collect(system.spawnCli('run', 'job', ...parties.trust('consumer')));
    const sessions = async () => {
      const { stdout } = succeeded(await system.cli('actors', 'list'));
      return stdout.split('\n').filter((line) => /attestation\/.*inSession/.test(line)).length;
    };
    await expect.poll(sessions).toBe(2);
    succeeded(await system.cli('algo', 'job', system.file('algorithm'), ...parties.trust('provider')));

    const [told, seen] = await Promise.all([provider, consumer]);
    expect(seen.code).toBe(1);
    expect(seen.stderr).toContain('stdout: step one');
    expect(seen.stderr).toContain('stderr: ValueError: the reason of the failure');
    expect(seen.stderr).toMatch(/^ALGORITHM_FAILED: .* The end of its log is above\./m);

    expect(told.code).toBe(1);
    expect(told.stderr).toMatch(
      /^Your key may not start the run\. One of these keys must do it.*: ed25519:/m,
    );
    expect(told.stderr).toMatch(/^ALGORITHM_FAILED: .* Its log is sealed to the consumers of the manifest/m);
    expect(told.stderr).not.toContain('the reason of the failure');
    expect((await show(system, `${address}/computation`)).state).toBe('failed');
  });

  it('gives programs the end of the log, and names its cause once', async () => {
    const consumer = parties.trust('consumer');
    const json = await system.cli('-o', 'json', 'run', 'job', ...consumer);
    expect(json.json).toEqual([
      {
        error: expect.objectContaining({
          code: 'ALGORITHM_FAILED',
          details: {
            exitCode: 1,
            log: expect.arrayContaining(['stderr: ValueError: the reason of the failure']),
          },
        }),
      },
    ]);
    const result = await system.cli('result', 'get', 'job', '--out', system.file('r'), ...consumer);
    expect(result.stderr).toMatch(/^COMPUTATION_FAILED: /m);
    expect(result.stderr.match(/ended with an exit code other than 0/g)).toHaveLength(1);
  });

  it('comes from an enclave whose verdict says that the host can read its memory', async () => {
    const nonce = '11'.repeat(32);
    const evidence = system.file('evidence');
    succeeded(await system.cli('attestation', 'get', 'job', '--nonce', nonce, '--out', evidence));
    const verify = (...more: string[]) =>
      system.cli(
        ...['attestation', 'verify', evidence, '--nonce', nonce, '--policy', parties.policy],
        ...['--reference', PROCESS_REFERENCE, ...more],
      );
    const text = succeeded(await verify()).stdout.split('\n');
    expect(text[1]).toMatch(
      /^\d+ passed, 0 failed, \d+ not checked: every check that your policy requires passed/,
    );
    expect(text[2]).toMatch(/^not protected: the agent is a process of the host, which can read its memory/);
    const [verdict] = succeeded(await verify('-o', 'json')).json;
    expect(verdict).toMatchObject({ outcome: 'accepted', hostCanReadMemory: true, launch: 'process' });
  });

  it('is not reached in an enclave that does not match: nothing is sent, and the failed checks are explained', async () => {
    const other = system.file('other-reference.json');
    const reference = JSON.parse(readFileSync(PROCESS_REFERENCE, 'utf8'));
    writeFileSync(
      other,
      JSON.stringify({ ...reference, process: { ...reference.process, agent: '0'.repeat(64) } }),
    );
    const trust = parties.trust('provider').map((each) => (each === PROCESS_REFERENCE ? other : each));
    const sent = await system.cli('algo', 'job', system.file('algorithm'), ...trust);
    expect(sent.code).toBe(2);
    expect(sent.stderr).toMatch(
      /^ATTEST_REJECTED: .* no input was sent to it\. This does not hold: launch\.agent \(The agent of a process enclave matches the reference values\)/m,
    );
    expect(sent.stderr).toMatch(/^next: Do not trust this enclave/m);
  });
});
