import { beforeAll, describe, expect, it } from 'vitest';
import { appraise } from '../../../src/attestation/appraisal/appraise.ts';
import { verifySnp } from '../../../src/attestation/appraisal/standalone.ts';
import type { Verdict } from '../../../src/attestation/appraisal/verdict.ts';
import { NO_COLLATERAL } from '../../../src/attestation/collateral/collateral.ts';
import { parsePolicy } from '../../../src/attestation/policy/policy.ts';
import { SHIPPED_MINIMUM } from '../../../src/attestation/snp/minimum-tcb.ts';
import { attestationCrypto as crypto } from '../../../src/crypto/attestation-crypto.ts';
import { scene } from '../../fakes/emulated-host.ts';
import {
  type Amd,
  ASK_SERIAL,
  AT,
  arkList,
  createAmd,
  createReport,
  type Line,
  level,
} from '../../fakes/fake-amd.ts';

let lines: readonly Amd[];
let milan: Amd;
beforeAll(async () => {
  lines = await Promise.all((['Milan', 'Genoa', 'Turin'] as const).map((line) => createAmd(line)));
  const [first] = lines;
  if (first === undefined) throw new Error('no hierarchy');
  milan = first;
});

const SNP_BYTE: Readonly<Record<Line, number>> = { Milan: 6, Genoa: 6, Turin: 3 };
const shippedOf = ({ line }: Amd) =>
  SHIPPED_MINIMUM[line === 'Milan' ? 'milan' : line === 'Genoa' ? 'genoa' : 'turin'];

/** The verdict on a report of a machine whose SNP firmware has this level. */
function verdictOn(
  amd: Amd,
  snpLevel: number,
  snp: object = {},
  lists: readonly Uint8Array[] = [arkList(amd, [])],
) {
  const evidence = createReport(amd, {
    extensions: level('snpSPL', snpLevel, amd.line),
    beforeSigning: (report) => {
      for (const tcb of [0x038, 0x180, 0x1e0, 0x1f0]) report.writeUInt8(snpLevel, tcb + SNP_BYTE[amd.line]);
    },
  });
  const policy = parsePolicy({
    version: 1,
    platforms: ['snp'],
    snp: { trustedRoots: amd.trustedRoots, ...snp },
  });
  return verifySnp({
    ...evidence,
    collateral: { ...NO_COLLATERAL, revocationLists: lists },
    policy,
    at: AT,
    crypto,
  });
}
const row = (verdict: Verdict, name: string) => verdict.checks.find((check) => check.name === name);

describe('the shipped minimum TCB', () => {
  it('is required of each product line by default, and its row names bulletin, date and age', () => {
    for (const amd of lines) {
      const { levels, bulletin, date } = shippedOf(amd);
      const accepted = verdictOn(amd, levels.snp);
      expect(accepted.failures).toEqual([]);
      const days = Math.floor((AT - Date.parse(date)) / 86_400_000);
      expect(row(accepted, 'policy.minimum-tcb')?.note).toBe(
        `the shipped minimum: ${bulletin} of ${date}, ${days} days old`,
      );
      expect(verdictOn(amd, levels.snp - 1).failures).toEqual(['policy.minimum-tcb']);
    }
  });

  it('is lowered or waived only by a policy that names the product line, and the verdict says so', () => {
    for (const amd of lines) {
      const line = amd.line.toLowerCase();
      const { levels } = shippedOf(amd);
      const lowered = verdictOn(amd, levels.snp - 1, { minimumTcb: { [line]: { snp: levels.snp - 1 } } });
      expect(lowered.failures).toEqual([]);
      expect(row(lowered, 'policy.minimum-tcb')?.note).toContain('your policy waives the shipped minimum');
      const waived = verdictOn(amd, 0, { minimumTcb: { [line]: {} } });
      expect(waived.failures).toEqual([]);
      expect(row(waived, 'policy.minimum-tcb')).toMatchObject({
        outcome: 'not-checked',
        note: expect.stringContaining('your policy waives the shipped minimum'),
      });
      const other = line === 'milan' ? 'genoa' : 'milan';
      expect(verdictOn(amd, levels.snp - 1, { minimumTcb: { [other]: {} } }).failures).toEqual([
        'policy.minimum-tcb',
      ]);
      const raised = verdictOn(amd, levels.snp, { minimumTcb: { [line]: { snp: levels.snp + 1 } } });
      expect(raised.failures).toEqual(['policy.minimum-tcb']);
      expect(row(raised, 'policy.minimum-tcb')?.note).toContain('above the shipped minimum');
    }
  });
});

describe('the revocation list of an SNP root', () => {
  const good = SHIPPED_MINIMUM.milan.levels.snp;

  it('is required by default, and the verdict says where it is published', () => {
    const without = verdictOn(milan, good, {}, []);
    expect(without.outcome).toBe('rejected');
    expect(without.missing).toEqual(['chain.revocation-list', 'chain.revocation']);
    expect(row(without, 'chain.revocation-list')?.note).toContain(
      'https://kdsintf.amd.com/vcek/v1/Milan/crl',
    );
    expect(verdictOn(milan, good).failures).toEqual([]);
    expect(verdictOn(milan, good, {}, [arkList(milan, [ASK_SERIAL])]).failures).toEqual(['chain.revocation']);
  });

  it('is waived by a policy member that the verdict names', () => {
    const waived = verdictOn(milan, good, { requireRevocationList: false }, []);
    expect(waived.failures).toEqual([]);
    for (const name of ['chain.revocation-list', 'chain.revocation'])
      expect(row(waived, name)?.note).toContain('your policy waives it (snp.requireRevocationList)');
  });

  it('does not exist on the emulated platform, whose verdict does not depend on it', async () => {
    const verdict = appraise(await scene());
    expect(verdict.failures).toEqual([]);
    expect(row(verdict, 'chain.revocation-list')?.note).toContain('the emulated platform has none');
    expect(row(verdict, 'policy.minimum-tcb')?.note).toBe('the policy has no minimum for emulated');
  });
});
