import { bytesToHex, concatBytes } from '@noble/hashes/utils.js';
import { CocosError } from '../../errors.ts';
import type { CheckList } from '../appraisal/verdict.ts';
import type { Collateral } from '../collateral/collateral.ts';
import { sameBytes } from '../encoding/bytes.ts';
import type { Certificate } from '../x509/certificate.ts';
import type { Path } from '../x509/path.ts';
import { type TdxContext, verifyPckChain } from './chain.ts';
import { findQeIdentity, findTcbInfo } from './collateral-check.ts';
import { type PckExtensions, parsePckExtensions } from './pck.ts';
import type { TdxQuote } from './quote.ts';
import type { QeIdentity, TcbInfo } from './tcb-info.ts';
import { type LevelResult, matchModule, platformLevel, qeLevel, qeMatches } from './tcb-level.ts';
import { type TcbStatus, worseStatus } from './tcb-status.ts';

/** Verifies that a TDX quote is genuine, and finds Intel's statements about its platform. */

/** Intel's quoting enclave vendor. */
const INTEL_QE_VENDOR = '939a7233f79c4ca9940a0db3957f0607';
const QE_REPORT_DATA_BYTES = 64;

/** The TCB level of the platform of a verified quote. */
export interface TdxTcb {
  readonly status: TcbStatus;
  /** Date of the level that the platform reaches, milliseconds since 1970. */
  readonly date: number;
  readonly advisories: readonly string[];
  /** Which part has which status, for people. */
  readonly text: string;
}

export interface VerifiedQuote {
  readonly pck: PckExtensions;
  readonly tcb: TdxTcb | null;
  readonly tcbInfo: TcbInfo | null;
  readonly qeIdentity: QeIdentity | null;
}

/** Signatures of the quote: PCK over the QE report, QE report over the attestation key, that key over the quote. */
function checkSignatures(quote: TdxQuote, leaf: Certificate, context: TdxContext, checks: CheckList): void {
  const { crypto } = context;
  const { qeReport, attestationKey, qeAuthData } = quote;
  checks.equal('tdx.qe-vendor', INTEL_QE_VENDOR, bytesToHex(quote.qeVendor));
  const word = (signed: boolean): string => (signed ? 'signed' : 'invalid signature');
  const key = leaf.key;
  const qeSigned =
    key?.kind === 'P-256' &&
    crypto.verifyEcdsa('P-256', 'sha256', key.point, qeReport.bytes, quote.qeReportSignature);
  checks.record('tdx.qe-report-signature', qeSigned, 'signed by the PCK', word(qeSigned));
  const bound = new Uint8Array(QE_REPORT_DATA_BYTES);
  bound.set(crypto.sha256(concatBytes(attestationKey, qeAuthData)));
  checks.equalBytes('tdx.key-binding', bound, qeReport.reportData);
  const point = concatBytes(Uint8Array.of(0x04), attestationKey);
  const signed = crypto.verifyEcdsa('P-256', 'sha256', point, quote.signed, quote.signature);
  checks.record('report.signature', signed, 'signed by the attestation key', word(signed));
}

/** The quoting library writes exactly this chain (Intel TDX DCAP, PCK certificate chain); a quote has a single form. */
function checkOrder(path: Path, found: readonly Uint8Array[], checks: CheckList): void {
  const wanted = [path.leaf, path.intermediate, path.root];
  const ok =
    found.length === wanted.length &&
    wanted.every(({ der }, index) => sameBytes(der, found[index] ?? new Uint8Array()));
  const names = ['another certificate', 'PCK certificate', 'CA', 'root'];
  const expected = names.slice(1).join(', ');
  const place = (der: Uint8Array): number => wanted.findIndex((each) => sameBytes(each.der, der)) + 1;
  const order = ok ? expected : found.map((der) => names[place(der)] ?? '?').join(', ');
  checks.record('tdx.certificate-order', ok, expected, order);
}

const OUT_OF_DATE: readonly TcbStatus[] = ['OutOfDate', 'OutOfDateConfigurationNeeded', 'Revoked'];

function combine(parts: readonly { readonly name: string; readonly level: LevelResult }[]): TdxTcb {
  const levels = parts.map(({ level }) => level);
  return {
    status: levels.map(({ status }) => status).reduce(worseStatus),
    date: Math.min(...levels.map(({ date }) => date)),
    advisories: [...new Set(levels.flatMap(({ advisories }) => advisories))].toSorted(),
    text: parts.map(({ name, level }) => `${name} ${level.status}`).join(', '),
  };
}

/** Status of platform, module and quoting enclave for one TEE_TCB_SVN. */
function judge(quote: TdxQuote, teeTcbSvn: Uint8Array, verified: Omit<VerifiedQuote, 'tcb'>) {
  const { tcbInfo, qeIdentity, pck } = verified;
  if (tcbInfo === null || qeIdentity === null) return null;
  const module = matchModule(tcbInfo, { ...quote.body, teeTcbSvn });
  const platform = platformLevel(tcbInfo, pck, teeTcbSvn);
  const qe = qeLevel(qeIdentity, quote.qeReport);
  return { module, platform, qe };
}

function combined(parts: NonNullable<ReturnType<typeof judge>>): TdxTcb | null {
  const { module, platform, qe } = parts;
  if (typeof module === 'string' || platform === null || qe === null) return null;
  return combine([
    { name: 'platform', level: platform },
    ...(module.level === null ? [] : [{ name: 'module', level: module.level }]),
    { name: 'quoting enclave', level: qe },
  ]);
}

/** A platform whose loaded module is newer than the one at launch needs no update, only a relaunch of the TD. */
function relaunch(tcb: TdxTcb, quote: TdxQuote, verified: Omit<VerifiedQuote, 'tcb'>): TdxTcb {
  const newer = quote.body.td15?.teeTcbSvn2;
  if (newer === undefined || !OUT_OF_DATE.includes(tcb.status) || tcb.status === 'Revoked') return tcb;
  const now = judge(quote, newer, verified);
  const later = now === null ? null : combined(now);
  if (later === null || OUT_OF_DATE.includes(later.status)) return tcb;
  const configuration = later.status.includes('Configuration');
  const status: TcbStatus = configuration ? 'RelaunchAdvisedConfigurationNeeded' : 'RelaunchAdvised';
  return { ...tcb, status, text: `${tcb.text}; the currently running module is ${later.status}` };
}

function checkLevels(
  quote: TdxQuote,
  verified: Omit<VerifiedQuote, 'tcb'>,
  checks: CheckList,
): TdxTcb | null {
  const { tcbInfo, qeIdentity, pck } = verified;
  const { teeTcbSvn } = quote.body;
  if (tcbInfo !== null) {
    const module = matchModule(tcbInfo, quote.body);
    const known = typeof module !== 'string';
    checks.record('tdx.module', known, 'a module that Intel lists', known ? module.text : module);
    const platform = platformLevel(tcbInfo, pck, teeTcbSvn);
    const shown = `components ${pck.components.join(' ')}, PCE ${pck.pceSvn}, TEE TCB ${bytesToHex(teeTcbSvn)}`;
    const found = platform === null ? `no level matches ${shown}` : platform.status;
    checks.record('tdx.tcb-level', platform !== null, 'a level that Intel lists', found);
  }
  if (qeIdentity !== null) {
    const { qeReport } = quote;
    const matches = qeMatches(qeIdentity, qeReport);
    const shown = `signer ${bytesToHex(qeReport.mrSigner)}, product ${qeReport.isvProdId}`;
    checks.record(
      'tdx.qe-identity-match',
      matches,
      `signer ${qeIdentity.mrsigner}, product ${qeIdentity.isvprodid}`,
      shown,
    );
    const level = qeLevel(qeIdentity, qeReport);
    checks.record('tdx.qe-level', level !== null, 'a level that Intel lists', `version ${qeReport.isvSvn}`);
  }
  const parts = judge(quote, teeTcbSvn, verified);
  const tcb = parts === null ? null : combined(parts);
  return tcb === null ? null : relaunch(tcb, quote, verified);
}

/**
 * Verifies a quote: its chain, its signatures, its collateral, its levels. Records all `chain.*` and `tdx.*` checks
 * that are not the policy's.
 *
 * @param certificates DER of those in the quote, which must be its complete chain; the same, parsed; all of the evidence
 * and the collateral
 * @returns null if the chain is not proven; a `tcb` of null if the collateral does not cover the platform
 */
export function verifyQuote(
  quote: TdxQuote,
  certificates: {
    readonly quote: readonly Uint8Array[];
    readonly own: readonly Certificate[];
    readonly all: readonly Certificate[];
  },
  collateral: Collateral,
  context: TdxContext,
  checks: CheckList,
): VerifiedQuote | null {
  const padding = quote.trailing.every((byte) => byte === 0);
  const found = padding
    ? `${quote.trailing.length} zero bytes`
    : `${quote.trailing.length} bytes, not all zero`;
  checks.record('tdx.trailing-bytes', padding, 'nothing or zero padding', found);
  const path = verifyPckChain(certificates.own, context, checks);
  if (path === null) return null;
  checkOrder(path, certificates.quote, checks);
  checkSignatures(quote, path.leaf, context, checks);
  let pck: PckExtensions;
  try {
    pck = context.cache.derived(path.leaf, parsePckExtensions);
  } catch (thrown) {
    checks.record(
      'chain.leaf',
      false,
      'a PCK certificate with its SGX extension',
      CocosError.from(thrown).message,
    );
    return null;
  }
  const tcbInfo = findTcbInfo(collateral, certificates.all, pck, context, checks);
  const qeIdentity = findQeIdentity(collateral, certificates.all, context, checks);
  const verified = { pck, tcbInfo, qeIdentity };
  return { ...verified, tcb: checkLevels(quote, verified, checks) };
}
