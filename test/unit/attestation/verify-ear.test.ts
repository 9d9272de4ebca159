import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { EAR_PROFILE, tierOf } from '../../../src/attestation/appraisal/ear.ts';
import { runCli } from '../../fakes/cli.ts';

/** Attestation results of other verifiers with a right signature, and something that speaks against trust. */

const folder = mkdtempSync(path.join(tmpdir(), 'cocos-ear-'));
afterAll(() => rmSync(folder, { recursive: true }));

const AT = '2026-06-01T00:00:00Z';
const NOW = Date.parse(AT) / 1000;
const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const key = `ed25519:${publicKey.export({ format: 'jwk' }).x ?? ''}`;
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

async function verify(header: object, claims: object, submodule: object = {}) {
  const submods = { snp: { 'ear.status': 'affirming', ...submodule } };
  const payload = { eat_profile: EAR_PROFILE, iat: NOW, submods, ...claims };
  const head = `${part({ alg: 'EdDSA', ...header })}.${part(payload)}`;
  const file = path.join(folder, 'result.jwt');
  writeFileSync(file, `${head}.${sign(null, Buffer.from(head), privateKey).toString('base64url')}`);
  const run = await runCli('attestation', 'verify-ear', file, '--key', key, '--at', AT);
  const { 'cocosai.problems': problems = [] } = z
    .object({ 'cocosai.problems': z.array(z.string()).optional() })
    .parse(run.json ?? {});
  return { exit: run.exit, said: [run.message ?? '', ...problems].join(' ') };
}
const vector = (claims: object) => ({ 'ear.trustworthiness-vector': claims });

describe('attestation verify-ear', () => {
  it('accepts a result whose times include the present and whose vector supports its status', async () => {
    const times = { exp: NOW + 1, nbf: NOW, 'cocosai.failures': [] };
    expect(await verify({ b64: true }, times, vector({ hardware: 2, executables: 0 }))).toMatchObject({
      exit: 0,
    });
    const warning = { 'ear.status': 'warning', ...vector({ hardware: 32 }) };
    expect(await verify({}, {}, warning)).toMatchObject({ exit: 0 });
  });

  it.each<[string, number, string, object, object, object]>([
    ['a critical header', 65, 'crit', { crit: ['x-must-understand'], 'x-must-understand': 1 }, {}, {}],
    ['an empty list of critical headers', 65, 'crit', { crit: [] }, {}, {}],
    ['a payload that is not encoded', 65, 'b64', { b64: false, crit: ['b64'] }, {}, {}],
    ['b64 that is not critical', 65, 'b64', { b64: false }, {}, {}],
    ['an end in the past', 2, 'expired 1 s ago', {}, { exp: NOW - 1 }, {}],
    ['an end at this time', 2, 'expired 0 s ago', {}, { exp: NOW }, {}],
    ['a start in the future', 2, 'valid only in 3600 s', {}, { nbf: NOW + 3600 }, {}],
    ['a contraindicated claim', 2, 'hardware is contraindicated (97)', {}, {}, vector({ hardware: 97 })],
    ['a contraindicated claim below zero', 2, 'contraindicated (-97)', {}, {}, vector({ hardware: -97 })],
    ['a warning', 2, 'configuration is warning (32)', {}, {}, vector({ configuration: 32 })],
    ['failed checks', 2, 'report.signature', {}, { 'cocosai.failures': ['report.signature'] }, {}],
    ['a vector that is not of numbers', 65, 'attestation result', {}, {}, vector({ hardware: 'good' })],
    ['an end that is not a number', 65, 'attestation result', {}, { exp: 'tomorrow' }, {}],
  ])('refuses an affirming result with %s', async (_, exit, said, header, claims, submodule) => {
    const run = await verify(header, claims, submodule);
    expect(run.exit).toBe(exit);
    expect(run.said).toContain(said);
  });

  it('refuses a warning with a contraindicated claim', async () => {
    const run = await verify({}, {}, { 'ear.status': 'warning', ...vector({ executables: 96 }) });
    expect(run).toMatchObject({
      exit: 2,
      said: expect.stringContaining('executables is contraindicated (96)'),
    });
  });
});

describe('The tier of a claim', () => {
  it('has the bounds of AR4SI', () => {
    const tiers = {
      none: [-1, 0, 1],
      affirming: [2, 31, -2, -32],
      warning: [32, 95, -33, -96],
      contraindicated: [96, 127, -97, -128],
    };
    for (const [tier, values] of Object.entries(tiers))
      for (const value of values) expect([value, tierOf(value)]).toEqual([value, tier]);
  });
});
