import { bytesToHex } from '@noble/hashes/utils.js';
import type { CheckList } from '../appraisal/verdict.ts';
import type { ReferenceBuild } from '../policy/reference.ts';
import type { TdReport } from './td-report.ts';

/**
 * Registers of a trust domain against the reference values of a build. A register that the policy lists as well must
 * have a value of both.
 */
export function checkTdxReference(body: TdReport, reference: ReferenceBuild, checks: CheckList): void {
  const { tdx } = reference;
  if (tdx === undefined) {
    checks.missing('tdx.mrtd', 'the reference values contain none for a trust domain');
    return;
  }
  const registers = [
    ['tdx.mrtd', tdx.mrtd, body.mrtd],
    ['tdx.rtmr0', tdx.rtmr0, body.rtmrs[0]],
    ['tdx.rtmr1', tdx.rtmr1, body.rtmrs[1]],
    ['tdx.rtmr2', tdx.rtmr2, body.rtmrs[2]],
    ['tdx.rtmr3', tdx.rtmr3, body.rtmrs[3]],
  ] as const;
  for (const [name, value, found] of registers) {
    if (value !== undefined) checks.equal(name, value, bytesToHex(found));
  }
}
