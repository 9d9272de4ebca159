import { bytesToHex } from '@noble/hashes/utils.js';
import { CocosError } from '../../errors.ts';
import type { CheckList } from '../appraisal/verdict.ts';
import { isZero } from '../encoding/bytes.ts';
import type { SnpReport } from './abi.ts';
import type { SnpChain } from './chain.ts';
import type { SnpPolicy } from './policy-rules.ts';
import { cpuMatches, nameMatches, PRODUCTS } from './products.ts';
import { decodeTcb, TCB_PARTS, type Tcb, tcbAtMost, tcbText } from './tcb.ts';

/**
 * Verifies that a report is genuine: its signature, and that the certificate is for this chip, this TCB and this product.
 * Whether it is acceptable is the policy's question.
 */

function checkProduct(report: SnpReport, chain: SnpChain, checks: CheckList): void {
  const { endorsement, product } = chain;
  const { structVersion, tcb } = PRODUCTS[product];
  const fmcOk = (tcb === 'turin') === (endorsement.tcb.fmc !== undefined);
  const certificateOk =
    nameMatches(product, endorsement.productName) && endorsement.structVersion === structVersion && fmcOk;
  const cpu = report.cpuid;
  const cpuText = cpu === null ? 'no CPU fields' : `CPU family ${cpu.family} model ${cpu.model}`;
  checks.record(
    'report.product',
    certificateOk && cpuMatches(product, cpu),
    `${PRODUCTS[product].name}, structure version ${structVersion}`,
    `${endorsement.productName}, structure version ${endorsement.structVersion}, ${cpuText}`,
  );
}

/** The host can configure its firmware to write a chip id of zeros (SNP_CONFIG, MASK_CHIP_ID). */
function checkMaskedChip(hardwareId: Uint8Array, policy: SnpPolicy, checks: CheckList): void {
  const expected = bytesToHex(hardwareId);
  const note = 'the host masks the chip id: the certificate says which chip signed, the report does not';
  if (policy.allowMaskedChipId) checks.notChecked('report.chip-id', note);
  else checks.record('report.chip-id', false, expected, 'masked (zeros)', note);
}

function checkChip(report: SnpReport, chain: SnpChain, policy: SnpPolicy, checks: CheckList): void {
  const { hardwareId } = chain.endorsement;
  if (hardwareId === null) {
    const provider = chain.endorsement.providerId ?? '?';
    checks.notChecked(
      'report.chip-id',
      `signed by a key of the provider ${provider}, which does not identify a chip`,
    );
    return;
  }
  if (report.chipKeyMasked) {
    // MASK_CHIP_KEY: the firmware does not use the key of the chip, so a VCEK cannot have signed.
    checks.record('report.chip-id', false, 'a key of the chip in use', 'MASK_CHIP_KEY is set');
    return;
  }
  if (isZero(hardwareId)) {
    checks.record('report.chip-id', false, 'a certificate of a chip', 'a hardware id of zeros');
    return;
  }
  if (isZero(report.chipId)) {
    checkMaskedChip(hardwareId, policy, checks);
    return;
  }
  // Turin's id has 8 bytes; the rest of the field is zero.
  const expected = new Uint8Array(report.chipId.length);
  expected.set(hardwareId);
  checks.equalBytes('report.chip-id', expected, report.chipId);
}

function decodeAll(report: SnpReport, chain: SnpChain, checks: CheckList) {
  const layout = PRODUCTS[chain.product].tcb;
  try {
    return {
      reported: decodeTcb(report.reportedTcb, layout),
      committed: decodeTcb(report.committedTcb, layout),
      current: decodeTcb(report.currentTcb, layout),
      launch: decodeTcb(report.launchTcb, layout),
    };
  } catch (thrown) {
    checks.record('report.reserved', false, 'TCB versions of the product', CocosError.from(thrown).message);
    checks.notChecked('report.tcb-order', 'the TCB versions cannot be read');
    return null;
  }
}

/** The TCB versions of a verified report. */
export interface VerifiedTcb {
  readonly reported: Tcb;
  readonly committed: Tcb;
  readonly current: Tcb;
  readonly launch: Tcb;
}

/**
 * Verifies a report under a proven chain, recording the `report.*` checks that its signature leaves open.
 *
 * @returns its TCB versions, or null when the report is not genuine.
 */
export function verifyReport(
  report: SnpReport,
  chain: SnpChain,
  policy: SnpPolicy,
  checks: CheckList,
): VerifiedTcb | null {
  checkProduct(report, chain, checks);
  checkChip(report, chain, policy, checks);
  const tcb = decodeAll(report, chain, checks);
  if (tcb === null) return null;
  const certified = chain.endorsement.tcb;
  const same = TCB_PARTS.every((part) => (certified[part] ?? 0) === (tcb.reported[part] ?? 0));
  checks.record('report.certificate-tcb', same, tcbText(tcb.reported), tcbText(certified));
  checks.record(
    'report.tcb-order',
    tcbAtMost(tcb.reported, tcb.committed) && tcbAtMost(tcb.committed, tcb.current),
    'reported <= committed <= current',
    `reported ${tcbText(tcb.reported)}; committed ${tcbText(tcb.committed)}; current ${tcbText(tcb.current)}`,
  );
  return checks.passed('report.signature') ? tcb : null;
}
