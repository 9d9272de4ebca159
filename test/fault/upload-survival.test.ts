import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeFile } from '../../bench/transfer/world.ts';
import { standInAgent } from '../harness/stand-in.ts';
import { surviveUpload } from '../harness/survive.ts';
import { ROOT, type System, show, startSystem, succeeded } from '../harness/system.ts';

/**
 * `COCOSAI_SURVIVAL_MIB=1024 COCOSAI_SURVIVAL_CUTS=20 npx vitest run --project fault test/fault/upload-survival.test.ts`
 * is the long run.
 */
const MIB = 2 ** 20;
const SIZE = Number(process.env['COCOSAI_SURVIVAL_MIB'] ?? 96) * MIB;
const CUTS = Number(process.env['COCOSAI_SURVIVAL_CUTS'] ?? 8);
/** What is under way in sockets, relay and frames when a cut falls, and the control of a new session. */
const EXTRA_FOR_CUT = 2.5 * MIB;

describe('an upload', () => {
  let system: System;
  let folder: string;
  let linkCuts: string;
  let reference: string;

  beforeAll(async () => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'cocos-l-'));
    linkCuts = path.join(folder, 'cuts');
    const agent = path.join(ROOT, 'dist/cocos-agent.js');
    const standIn = standInAgent(folder, 'cutting-agent.mjs', { agent, cuts: linkCuts });
    ({ reference } = standIn);
    system = await startSystem({ COCOSAI_MODE: 'process', COCOSAI_AGENT: standIn.program });
  });

  afterAll(async () => {
    expect(await system.stop()).toBe(0);
    rmSync(folder, { recursive: true, force: true });
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
    const appraisal = ['--policy', policy, '--reference', reference];
    const seed = Math.floor(Math.random() * 2 ** 31);
    const upload = ['data', 'job', 'big', file, ...trust, ...appraisal];
    const cutLink = () => process.kill(Number(enclave.context['pid']), 'SIGUSR2');
    const survived = await surviveUpload(system, { size: SIZE, cuts: CUTS, seed, relay, upload, cutLink });
    const line = JSON.stringify({ seed, size: SIZE, ...survived, again: survived.extraBytes / SIZE });
    console.log(line);
    const log = process.env['COCOSAI_SURVIVAL_LOG'];
    if (log !== undefined) appendFileSync(log, `${line}\n`);
    expect(survived.extraBytes, `seed ${seed}`).toBeLessThan(CUTS * EXTRA_FOR_CUT);
    // A link that has not come back after the last kill cannot be cut again.
    const links = readFileSync(linkCuts, 'utf8').trim().split('\n');
    expect(links).toHaveLength(survived.cuts['link cut'] ?? 0);
    expect(links).toContain('1');
    await expect.poll(async () => (await show(system, 'job')).state).toBe('alive.ready');
    const { context } = await show(system, `${enclave.address}/computation`);
    expect(context['inputs']).toMatchObject({ big: { status: 'committed', size: SIZE } });
  });
});
