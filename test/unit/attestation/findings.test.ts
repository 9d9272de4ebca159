import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { runCli } from '../../fakes/cli.ts';
import { WAIVERS } from '../../fakes/fake-amd.ts';
import { findingsFile, hasFindings } from '../../findings.ts';

/** Evidence that once got a wrong verdict, through the command line as a user gives it. */

const AT = '2026-12-01T00:00:00Z';
const input = (...names: string[]): string => findingsFile('inputs', ...names);
const folder = mkdtempSync(path.join(tmpdir(), 'cocosai-findings-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const Policy = z.looseObject({ snp: z.looseObject({}) });

/** A policy of the findings, with more rules. They are older than the defaults that demand lists and new firmware. */
function waiving(file: string, rules: Readonly<Record<string, unknown>> = {}): string {
  const { snp, ...others } = Policy.parse(JSON.parse(readFileSync(file, 'utf8')));
  const written = path.join(mkdtempSync(path.join(folder, 'p-')), 'policy.json');
  writeFileSync(written, JSON.stringify({ ...others, snp: { ...snp, ...WAIVERS, ...rules } }));
  return written;
}

const Verdict = z.object({
  failures: z.array(z.string()),
  checks: z.array(
    z.object({ name: z.string(), outcome: z.string(), found: z.string(), note: z.string().optional() }),
  ),
});
const checkOf = (json: unknown, name: string) =>
  Verdict.parse(json).checks.find((check) => check.name === name);

describe.skipIf(!hasFindings)('evidence of the findings', () => {
  it('is all used here, or by the tests of algorithms', () => {
    const here = [
      'early-first',
      'measure-not-a-firmware.bin',
      'snp-mask-chip-id',
      'snp-pem-table',
      'std-first',
    ];
    const algorithms = ['log-tail-lost.py', 'odd-results.py'];
    expect(readdirSync(input()).toSorted()).toEqual([...here, ...algorithms].toSorted());
  });

  it('of a trust domain gets one verdict whatever the names of the files are', async () => {
    const verdicts = await Promise.all(
      ['early-first', 'std-first'].map((name) =>
        runCli(
          ...['attestation', 'verify-tdx', '--quote', input(name, 'quote.bin'), '--at', AT],
          ...['--collateral', input(name, 'c'), '--policy', input(name, 'policy.json')],
        ),
      ),
    );
    for (const { exit, json } of verdicts) {
      expect(exit).toBe(2);
      expect(Verdict.parse(json).failures).toEqual(['tdx.tcb-status']);
      expect(checkOf(json, 'tdx.tcb-info')?.found).toBe('evaluation 22, the highest current one of 2');
    }
  });

  const table = (file: string, ...more: string[]) =>
    runCli(
      ...['attestation', 'verify-snp', '--report', input('snp-pem-table', file), '--at', AT],
      ...['--policy', waiving(input('snp-pem-table', 'policy.json')), ...more],
    );

  it.each(['pem.bin', 'der.bin'])('with its certificates in a table is accepted alone: %s', async (file) => {
    expect(await table(file)).toMatchObject({ exit: 0 });
  });

  it.each(['pem.bin', 'der.bin'])('is accepted with the certificates named as well: %s', async (file) => {
    const named = [
      '--vcek',
      input('snp-pem-table', 'vcek.der'),
      '--chain',
      input('snp-pem-table', 'chain.pem'),
    ];
    expect(await table(file, ...named)).toMatchObject({ exit: 0 });
  });

  it.each(['vcek.der', 'vcek.pem'])(
    'with a masked chip id needs a policy that allows it: %s',
    async (vcek) => {
      const own = (name: string) => input('snp-mask-chip-id', name);
      const verify = (policy: string) =>
        runCli(
          ...['attestation', 'verify-snp', '--report', own('report.bin'), '--vcek', own(vcek), '--at', AT],
          ...['--chain', own('chain.pem'), '--policy', policy],
        );
      const refused = await verify(waiving(own('policy.json')));
      expect(refused.exit).toBe(2);
      expect(Verdict.parse(refused.json).failures).toEqual(['report.chip-id']);
      const allowing = waiving(own('policy.json'), { allowMaskedChipId: true });
      const accepted = await verify(allowing);
      expect(accepted.exit).toBe(0);
      expect(checkOf(accepted.json, 'report.chip-id')).toMatchObject({
        outcome: 'not-checked',
        note: expect.stringContaining('masks the chip id'),
      });
    },
  );

  it('that is no firmware has no launch digest', async () => {
    const launch = ['--ovmf', input('measure-not-a-firmware.bin'), '--vcpus', '1', '--vcpu-type', 'EPYC-v4'];
    for (const mode of ['snp', 'seves', 'sev']) {
      const run = await runCli('measure', 'snp', ...launch, '--mode', mode);
      expect(run).toMatchObject({ error: 'MEASURE_UNSUPPORTED', text: '' });
    }
  });
});
