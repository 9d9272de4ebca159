import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js';
import type { CheckList } from '../appraisal/verdict.ts';
import type { AppraisalPolicy } from '../policy/policy.ts';
import { instantMs, isoTime } from '../x509/time.ts';
import type { TdxPolicy } from './policy-rules.ts';
import type { TdxQuote } from './quote.ts';
import type { TdReport } from './td-report.ts';
import type { VerifiedQuote } from './verify.ts';

/** Is a genuine quote acceptable? Every rule of the policy against the quote. */

/** Bits of TDATTRIBUTES (Intel TDX Module ABI), of the 64-bit little-endian value. */
const DEBUG = 1n << 0n;
const SEPT_VE_DISABLE = 1n << 28n;
const MIGRATABLE = 1n << 29n;
const PROTECTION_KEYS = 1n << 30n;
const KEY_LOCKER = 1n << 31n;
const PERFMON = 1n << 63n;
const KNOWN_ATTRIBUTES = DEBUG | SEPT_VE_DISABLE | MIGRATABLE | PROTECTION_KEYS | KEY_LOCKER | PERFMON;

function little(bytes: Uint8Array): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigUint64(0, true);
}

function checkAttributes(body: TdReport, policy: AppraisalPolicy, checks: CheckList): void {
  const value = little(body.tdAttributes);
  const shown = bytesToHex(body.tdAttributes);
  const flag = (name: 'policy.debug' | 'policy.migration', bit: bigint, allowed: boolean): void => {
    const set = (value & bit) !== 0n;
    checks.record(name, allowed || !set, allowed ? 'allowed' : 'not allowed', set ? 'on' : 'off');
  };
  flag('policy.debug', DEBUG, policy.allowDebug);
  flag('policy.migration', MIGRATABLE, policy.allowMigration);
  const { requireSeptVeDisable, requiredAttributes } = policy.tdx;
  const required =
    (requireSeptVeDisable ? SEPT_VE_DISABLE : 0n) |
    (requiredAttributes === undefined ? 0n : little(hexToBytes(requiredAttributes)));
  const ok = (value & ~KNOWN_ATTRIBUTES) === 0n && (value & required) === required;
  const wanted = `known bits, with 0x${required.toString(16)} set`;
  checks.record('tdx.attributes', ok, wanted, `0x${value.toString(16)} (${shown})`);
}

function checkXfam(body: TdReport, policy: TdxPolicy, checks: CheckList): void {
  const { requiredXfam, allowedXfam } = policy;
  if (requiredXfam === undefined && allowedXfam === undefined) {
    checks.notChecked('tdx.xfam', `the policy has no requirement; XFAM is ${bytesToHex(body.xfam)}`);
    return;
  }
  const value = little(body.xfam);
  const required = requiredXfam === undefined ? 0n : little(hexToBytes(requiredXfam));
  const allowed = allowedXfam === undefined ? ~0n : little(hexToBytes(allowedXfam));
  const ok = (value & required) === required && (value & ~allowed) === 0n;
  const expected = `required ${requiredXfam ?? 'none'}, allowed ${allowedXfam ?? 'any'}`;
  checks.record('tdx.xfam', ok, expected, bytesToHex(body.xfam));
}

function checkRegisters(body: TdReport, policy: TdxPolicy, checks: CheckList): void {
  const absent = (found: Uint8Array): string => `no value for comparison; found ${bytesToHex(found)}`;
  checks.oneOf('tdx.seam', policy.mrSeam, body.mrSeam, absent(body.mrSeam));
  checks.oneOf('tdx.mrtd', policy.mrtd, body.mrtd, absent(body.mrtd));
  const rtmrs = [policy.rtmr0, policy.rtmr1, policy.rtmr2, policy.rtmr3] as const;
  const names = ['tdx.rtmr0', 'tdx.rtmr1', 'tdx.rtmr2', 'tdx.rtmr3'] as const;
  names.forEach((name, index) => {
    const found = body.rtmrs[index] ?? new Uint8Array();
    const note = index === 0 ? `${absent(found)}; it measures the ACPI tables of the host` : absent(found);
    checks.oneOf(name, rtmrs[index], found, note);
  });
  checks.oneOf('tdx.mrconfigid', policy.mrConfigId, body.mrConfigId, absent(body.mrConfigId));
  checks.oneOf('tdx.mrowner', policy.mrOwner, body.mrOwner, absent(body.mrOwner));
  checks.oneOf('tdx.mrownerconfig', policy.mrOwnerConfig, body.mrOwnerConfig, absent(body.mrOwnerConfig));
  const reportData = policy.reportData === undefined ? undefined : [policy.reportData];
  checks.oneOf('tdx.report-data', reportData, body.reportData, 'the policy has no value');
  const service = body.td15?.mrServiceTd ?? new Uint8Array(48);
  const bound = service.some((byte) => byte !== 0);
  const listed = policy.mrServiceTd?.includes(bytesToHex(service)) === true;
  const expected = policy.mrServiceTd === undefined ? 'none' : `none or ${policy.mrServiceTd.join(' or ')}`;
  checks.record('tdx.service-td', !bound || listed, expected, bound ? bytesToHex(service) : 'none');
}

function checkSvns(quote: TdxQuote, verified: VerifiedQuote, policy: TdxPolicy, checks: CheckList): void {
  const { minimumTeeTcbSvn, minimumQeSvn, minimumPceSvn } = policy;
  if (minimumTeeTcbSvn === undefined && minimumQeSvn === undefined && minimumPceSvn === undefined) {
    checks.notChecked('tdx.minimum-svn', 'the policy has no minimum');
    return;
  }
  const svn = quote.body.teeTcbSvn;
  const teeOk =
    minimumTeeTcbSvn === undefined ||
    hexToBytes(minimumTeeTcbSvn).every((least, i) => (svn[i] ?? -1) >= least);
  const ok =
    teeOk && quote.qeReport.isvSvn >= (minimumQeSvn ?? 0) && verified.pck.pceSvn >= (minimumPceSvn ?? 0);
  checks.record(
    'tdx.minimum-svn',
    ok,
    `TEE TCB ${minimumTeeTcbSvn ?? 'any'}, quoting enclave ${minimumQeSvn ?? 'any'}, PCE ${minimumPceSvn ?? 'any'}`,
    `TEE TCB ${bytesToHex(svn)}, quoting enclave ${quote.qeReport.isvSvn}, PCE ${verified.pck.pceSvn}`,
  );
}

function checkTcb({ tcb }: VerifiedQuote, policy: TdxPolicy, checks: CheckList): void {
  if (tcb === null) return;
  const { acceptedStatuses, minimumTcbDate, refusedAdvisories } = policy;
  const accepted = acceptedStatuses.some((status) => status === tcb.status);
  checks.record('tdx.tcb-status', accepted, acceptedStatuses.join(' or '), tcb.status, tcb.text);
  const refused = tcb.advisories.filter((advisory) => refusedAdvisories.includes(advisory));
  const shown = tcb.advisories.length === 0 ? 'none' : tcb.advisories.join(', ');
  const expected = refusedAdvisories.length === 0 ? 'any' : `none of ${refusedAdvisories.join(', ')}`;
  checks.record('tdx.advisories', refused.length === 0, expected, shown);
  if (minimumTcbDate === undefined) {
    checks.notChecked(
      'tdx.minimum-tcb-date',
      `the policy has no date; the level is dated ${isoTime(tcb.date)}`,
    );
  } else {
    const ok = tcb.date >= instantMs(minimumTcbDate);
    checks.record('tdx.minimum-tcb-date', ok, `${minimumTcbDate} or later`, isoTime(tcb.date));
  }
}

/** Intel publishes both items of an evaluation together; of different ones, either may be the older. */
function checkEvaluation(
  items: readonly { readonly tcbEvaluationDataNumber: number }[],
  { minimumEvaluationNumber: least, requireSameEvaluation }: TdxPolicy,
  checks: CheckList,
): void {
  const numbers = items.map((item) => item.tcbEvaluationDataNumber);
  const isMixed = new Set(numbers).size > 1;
  const found = isMixed
    ? `TCB information ${numbers[0]}, QE identity ${numbers[1]}: different evaluations`
    : `${numbers[0]}`;
  if (items.length === 0) {
    checks.notChecked('tdx.evaluation-number', 'there is no collateral');
  } else if (least === undefined && !requireSameEvaluation) {
    checks.notChecked('tdx.evaluation-number', `the policy has no minimum; evaluation ${found}`);
  } else {
    const expected = [
      ...(least === undefined ? [] : [`at least ${least}`]),
      ...(requireSameEvaluation ? ['one evaluation'] : []),
    ].join(', ');
    const reached = least === undefined || Math.min(...numbers) >= least;
    checks.record('tdx.evaluation-number', reached && !(requireSameEvaluation && isMixed), expected, found);
  }
}

function checkCollateral(verified: VerifiedQuote, policy: TdxPolicy, at: number, checks: CheckList): void {
  const { tcbInfo, qeIdentity } = verified;
  const items = [tcbInfo, qeIdentity].filter((item) => item !== null);
  const { maximumCollateralAgeSeconds: limit } = policy;
  checkEvaluation(items, policy, checks);
  const age = Math.max(...items.map((item) => Math.floor((at - item.issueDate) / 1000)));
  if (limit === undefined || items.length === 0) {
    const note =
      items.length === 0 ? 'there is no collateral' : `the policy has no limit; the oldest is ${age} s old`;
    checks.notChecked('tdx.collateral-age', note);
  } else {
    checks.record('tdx.collateral-age', age <= limit, `at most ${limit} s`, `${age} s`);
  }
}

/** Records every check of a TDX quote that is the policy's, except `policy.platform` and the event log. */
export function checkTdxPolicy(
  quote: TdxQuote,
  verified: VerifiedQuote,
  policy: AppraisalPolicy,
  at: number,
  checks: CheckList,
): void {
  const { tdx } = policy;
  checkTcb(verified, tdx, checks);
  checkCollateral(verified, tdx, at, checks);
  checkSvns(quote, verified, tdx, checks);
  checkAttributes(quote.body, policy, checks);
  checkXfam(quote.body, tdx, checks);
  checkRegisters(quote.body, tdx, checks);
}
