import { appendFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeFile } from '../../bench/transfer/world.ts';
import { surviveUpload } from '../harness/survive.ts';
import { PROCESS_REFERENCE, type System, show, startSystem, succeeded } from '../harness/system.ts';

/**
 * `COCOSAI_SURVIVAL_MIB=1024 COCOSAI_SURVIVAL_CUTS=20 npx vitest run --project fault test/fault/upload-survival.test.ts`
 * is the long run.
 */
const MIB = 2 ** 20;
const SIZE = Number(process.env['COCOSAI_SURVIVAL_MIB'] ?? 96) * MIB;
const CUTS = Number(process.env['COCOSAI_SURVIVAL_CUTS'] ?? 6);
/** What is under way in sockets, relay and frames when a cut falls, and the control of a new session. */
const EXTRA_FOR_CUT = 2.5 * MIB;

describe('an upload', () => {
  let system: System;

  beforeAll(async () => {
    system = await startSystem({ COCOSAI_MODE: 'process', COCOSAI_ON_STOP: 'stop' });
  });

  afterAll(async () => {
    expect(await system.stop()).toBe(0);
  });

  it('survives cuts of every kind and sends little of it again', async () => {
    const done = async (...args: string[]) => succeeded(await system.cli(...args));
    await done('keys', 'generate', 'party', '--out', system.folder);
    const policy = system.file('policy.json');
    await done('attestation', 'policy', '--out', policy);
    const file = system.file('big');
    await makeFile(file, SIZE);
    const manifest = system.file('manifest.json');
    const key = system.file('party.pub');
    await done(
      ...['manifest', 'create', '--name', 'survival', '--algorithm', `${policy}@${key}`],
      ...['--dataset', `big=${file}@${key}`, '--consumer', key, '--out', manifest],
    );
    await done('enclave', 'create', 'job', '--manifest', manifest);
    const enclave = await show(system, 'job');
    const relay = String(enclave.context['relayAddress']).replace(/^unix:/, '');
    const trust = ['--manifest', manifest, '--key', system.file('party.key')];
    const appraisal = ['--policy', policy, '--reference', PROCESS_REFERENCE];
    const seed = Math.floor(Math.random() * 2 ** 31);
    const upload = ['data', 'job', 'big', file, ...trust, ...appraisal];
    const survived = await surviveUpload(system, { size: SIZE, cuts: CUTS, seed, relay, upload });
    const line = JSON.stringify({ seed, size: SIZE, ...survived, again: survived.extraBytes / SIZE });
    console.log(line);
    const log = process.env['COCOSAI_SURVIVAL_LOG'];
    if (log !== undefined) appendFileSync(log, `${line}\n`);
    expect(survived.extraBytes, `seed ${seed}`).toBeLessThan(CUTS * EXTRA_FOR_CUT);
    const { context } = await show(system, `${enclave.address}/computation`);
    expect(context['inputs']).toMatchObject({ big: { status: 'committed', size: SIZE } });
  }, 600_000);
});
