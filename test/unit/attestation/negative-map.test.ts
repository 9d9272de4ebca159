import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { isCheckName } from '../../../src/attestation/appraisal/checks.ts';
import { hasVectors, vectorsDir } from '../../vectors.ts';

/**
 * Every line of `negative.md` about attestation with the checks that refuse it; the tests themselves carry the number of
 * their line. Lines 31 to 34 are about a computation, which refuses or yields another digest; 79 to 85 are about
 * encryption.
 */
const REFUSED_BY: Readonly<Record<number, string>> = {
  1: 'report.signature',
  2: 'report.signature',
  3: 'report.reserved',
  4: 'report.signature',
  5: 'report.signature-form',
  6: 'report.size',
  7: 'report.size',
  8: 'report.algorithm',
  9: 'report.version',
  10: 'policy.debug',
  11: 'policy.migration',
  12: 'report.policy-bits',
  13: 'policy.vmpl',
  14: 'chain.leaf',
  15: 'chain.profile',
  16: 'report.chip-id',
  17: 'report.certificate-tcb',
  18: 'report.certificate-tcb',
  19: 'report.product',
  20: 'chain.leaf',
  21: 'chain.root',
  22: 'report.product',
  23: 'chain.validity',
  24: 'chain.leaf',
  25: 'report.tcb-order',
  26: 'policy.guest-svn',
  27: 'policy.host-data',
  28: 'binding.report-data',
  29: 'report.certificate-table',
  30: 'policy.alias-check',
  35: 'report.signature',
  36: 'report.signature',
  37: 'policy.debug',
  38: 'tdx.report-data',
  39: 'tdx.key-binding',
  40: 'tdx.qe-report-signature',
  41: 'chain.root',
  42: 'tdx.tee-type',
  43: 'tdx.key-type',
  44: 'tdx.qe-vendor',
  45: 'tdx.body-descriptor',
  46: 'tdx.lengths',
  47: 'tdx.trailing-bytes',
  48: 'tdx.certification-data',
  49: 'tdx.tcb-info-platform',
  50: 'tdx.tcb-info-dates',
  51: 'tdx.tcb-info-signature',
  52: 'tdx.tcb-level',
  53: 'tdx.tcb-status',
  54: 'tdx.tcb-status',
  55: 'chain.revocation',
  56: 'vtpm.magic',
  57: 'vtpm.type',
  58: 'vtpm.qualifying-data',
  59: 'vtpm.pcr-digest',
  60: 'vtpm.selection',
  61: 'vtpm.bank',
  62: 'vtpm.trailing-bytes',
  63: 'vtpm.key-binding',
  64: 'vtpm.scheme',
  65: 'vtpm.event-log',
  66: 'vtpm.event-data',
  67: 'vtpm.event-log',
  68: 'vtpm.event-log',
  69: 'event-log.banks',
  70: 'event-log.algorithms',
  71: 'vtpm.event-log',
  72: 'tdx.event-log',
  73: 'event-log.form',
  74: 'dice.signatures',
  75: 'dice.code',
  76: 'dice.mode',
  77: 'dice.identifiers',
  78: 'dice.root',
};
const ELSEWHERE = [31, 32, 33, 34, 79, 80, 81, 82, 83, 84, 85];

const read = (file: string): string => readFileSync(path.join(import.meta.dirname, file), 'utf8');
const tests = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith('.test.ts') && file !== path.basename(import.meta.filename))
  .map(read)
  .join('\n');
/** Numbers at the head of the names of tests, as in `17, 18: refuses …`. */
const tested = new Set(
  [...tests.matchAll(/['`]((?:\d+, )*\d+): /g)].flatMap(([, list = '']) => list.split(', ').map(Number)),
);

describe('the lines of negative.md', () => {
  it.skipIf(!hasVectors)('are all of them here', () => {
    const text = readFileSync(path.join(vectorsDir(), 'negative.md'), 'utf8');
    const lines = [...text.matchAll(/^(\d+)\. /gm)].map(([, number]) => Number(number));
    expect([...Object.keys(REFUSED_BY).map(Number), ...ELSEWHERE].toSorted((a, b) => a - b)).toEqual(lines);
  });

  it.each(Object.entries(REFUSED_BY))('%s: has a test that names %s', (line, check) => {
    expect(isCheckName(check)).toBe(true);
    expect(tests).toContain(`'${check}'`);
    expect(tested).toContain(Number(line));
  });
});
