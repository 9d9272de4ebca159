import { describe, expect, it } from 'vitest';
import { cpuidSignature } from '../../../src/attestation/measure/vcpu-types.ts';
import { runCli } from '../../fakes/cli.ts';

/**
 * What QEMU 11.1.3 answers to query-cpu-model-expansion: family, model and stepping of each of its models of EPYC, as
 * CPUID(1).EAX (AMD64 Architecture Programmer's Manual, volume 3, appendix E.3.2).
 */
const QEMU: Readonly<Record<string, readonly [number, number, number]>> = {
  EPYC: [23, 1, 2],
  'EPYC-v1': [23, 1, 2],
  'EPYC-v2': [23, 1, 2],
  'EPYC-v3': [23, 1, 2],
  'EPYC-v4': [23, 1, 2],
  'EPYC-v5': [23, 1, 2],
  'EPYC-IBPB': [23, 1, 2],
  'EPYC-Rome': [23, 49, 0],
  'EPYC-Rome-v1': [23, 49, 0],
  'EPYC-Rome-v2': [23, 49, 0],
  'EPYC-Rome-v3': [23, 49, 0],
  'EPYC-Rome-v4': [23, 49, 0],
  'EPYC-Rome-v5': [23, 49, 0],
  'EPYC-Milan': [25, 1, 1],
  'EPYC-Milan-v1': [25, 1, 1],
  'EPYC-Milan-v2': [25, 1, 1],
  'EPYC-Milan-v3': [25, 1, 1],
  'EPYC-Milan-v4': [25, 1, 1],
  'EPYC-Genoa': [25, 17, 0],
  'EPYC-Genoa-v1': [25, 17, 0],
  'EPYC-Genoa-v2': [25, 17, 0],
  'EPYC-Genoa-v3': [25, 17, 0],
  'EPYC-Turin': [26, 0, 0],
  'EPYC-Turin-v1': [26, 0, 0],
  'EPYC-Turin-v2': [26, 0, 0],
};

const eax = ([family, model, stepping]: readonly [number, number, number]): number =>
  stepping |
  ((model & 0xf) << 4) |
  (Math.min(family, 15) << 8) |
  ((model >> 4) << 16) |
  ((family - 15) << 20);

describe('cpuidSignature', () => {
  it.each(Object.entries(QEMU))('gives what QEMU has for %s', (name, cpu) => {
    expect(cpuidSignature(name)).toBe(eax(cpu));
  });

  it.each(['EPYC-v6', 'EPYC-IBPB-v1', 'EPYC-Rome-v6', 'EPYC-Milan-v5', 'EPYC-Genoa-v4', 'EPYC-Turin-v3'])(
    'refuses %s, which QEMU does not have',
    (name) => {
      expect(() => cpuidSignature(name)).toThrowError(
        expect.objectContaining({ code: 'MEASURE_UNSUPPORTED' }),
      );
    },
  );

  it.each(['EPYC-Siena', 'EPYC-Bergamo'])('says what to give for %s', (name) => {
    expect(() => cpuidSignature(name)).toThrowError(/EPYC-Genoa.*--vcpu-sig 0xaa0f02/);
  });
});

describe('attestation verify-snp --product', () => {
  const report = '/nonexistent/report.bin';
  it.each(['siena', 'Bergamo', 'GENOA', 'turin'])('takes %s', async (name) => {
    const run = await runCli('attestation', 'verify-snp', '--report', report, '--product', name);
    expect(run.error).toBe('FILE_UNREADABLE');
  });

  it.each(['naples', '__proto__'])('refuses %s', async (name) => {
    const run = await runCli('attestation', 'verify-snp', '--report', report, '--product', name);
    expect(run.error).toBe('USAGE');
  });
});
