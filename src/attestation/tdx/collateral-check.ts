import { bytesToHex, concatBytes } from '@noble/hashes/utils.js';
import { CocosError } from '../../errors.ts';
import type { CheckList } from '../appraisal/verdict.ts';
import type { Collateral, SignedJson } from '../collateral/collateral.ts';
import type { Certificate } from '../x509/certificate.ts';
import type { CertificateCache } from '../x509/certificate-cache.ts';
import { isRevoked } from '../x509/crl.ts';
import { inOrder, issuersOf, isValidAt, nameOf } from '../x509/path.ts';
import { isListOf } from '../x509/revocation.ts';
import { isSignedBy } from '../x509/signature.ts';
import { isoTime } from '../x509/time.ts';
import { intelProblems, isTrustedRoot, type TdxContext } from './chain.ts';
import type { PckExtensions } from './pck.ts';
import {
  isOtherQeIdentity,
  isOtherTcbInfo,
  type Members,
  membersOf,
  parseQeIdentity,
  parseTcbInfo,
  type QeIdentity,
  type TcbInfo,
} from './tcb-info.ts';

/** Is the collateral of a TDX quote Intel's, about this platform, and current? */

const SIGNER_NAME = 'Intel SGX TCB Signing';
/** r ‖ s of P-256. */
const SIGNATURE_BYTES = 64;

type What = 'tcb-info' | 'qe-identity';

/** Why a root may not have issued a signer of collateral; null when it may. */
function issuerProblem(signer: Certificate, root: Certificate, context: TdxContext): string | null {
  const { at, revocationLists } = context;
  if (!isTrustedRoot(root, context)) return 'its root is not trusted';
  if (!isSignedBy(root, root, context)) return 'its root is not self-signed';
  const outside = [signer, root].find((certificate) => !isValidAt(certificate, at));
  if (outside !== undefined) return `${nameOf(outside)} is not valid at ${isoTime(at)}`;
  const problem = [...intelProblems(signer, 'leaf'), ...intelProblems(root, 'root')][0];
  if (problem !== undefined) return problem;
  const revoked = revocationLists.some((list) => isListOf(list, root, context) && isRevoked(list, signer));
  return revoked ? 'it is revoked' : null;
}

/** Why a certificate may not sign collateral at this time; null when any path above it is valid. */
function signerProblem(signer: Certificate, all: readonly Certificate[], context: TdxContext): string | null {
  const problems = issuersOf(signer, all, context).map((root) => issuerProblem(signer, root, context));
  return problems.includes(null) ? null : (problems[0] ?? 'it is not signed by its CA');
}

/** Why a signing key of Intel did not sign exactly these bytes; null when it did. */
function signatureProblem(
  { item, value }: Parsed<object>,
  certificates: readonly Certificate[],
  context: TdxContext,
): string | null {
  const signers = inOrder(
    certificates.filter((certificate) => nameOf(certificate) === SIGNER_NAME),
    context,
  );
  if (signers.length === 0) return 'no certificate of that name is there';
  // The signing certificate may have been renewed with the same key; choose the one that is valid now.
  const problems = signers.map((signer) => signerProblem(signer, certificates, context));
  const usable = signers.filter((_, index) => problems[index] === null);
  if (usable.length === 0) return problems[0] ?? 'none is usable';
  const signed = usable.some((signer) => {
    const { key } = signer;
    if (context.cache.knows(value, signer)) return true;
    const right =
      key?.kind === 'P-256' &&
      context.crypto.verifyEcdsa('P-256', 'sha256', key.point, item.body, item.signature);
    if (right) context.cache.remember(value, signer);
    return right;
  });
  return signed ? null : 'invalid signature';
}

/** Records that a signing key of Intel signed exactly these bytes. */
function recordSignature(what: What, problem: string | null, checks: CheckList): void {
  checks.record(`tdx.${what}-signature`, problem === null, `signed by ${SIGNER_NAME}`, problem ?? 'signed');
}

function checkDates(
  what: What,
  dates: { issueDate: number; nextUpdate: number },
  at: number,
  checks: CheckList,
): void {
  const span = `${isoTime(dates.issueDate)} to ${isoTime(dates.nextUpdate)}`;
  const current = dates.issueDate <= at && at < dates.nextUpdate;
  checks.record(`tdx.${what}-dates`, current, `current at ${isoTime(at)}`, span);
}

interface Parsed<T> {
  readonly item: SignedJson;
  /** One object for each pair of body and signature. */
  readonly value: T;
}

/** Parsers of a signature and its body; together they describe what was verified. */
const behindSignature =
  <T>(parser: (body: Uint8Array) => T) =>
  (bytes: Uint8Array): T =>
    parser(bytes.subarray(SIGNATURE_BYTES));
const parseSignedTcbInfo = behindSignature(parseTcbInfo);
const parseSignedQeIdentity = behindSignature(parseQeIdentity);

interface Readings<T> {
  readonly parsed: readonly Parsed<T>[];
  /** Why each other item cannot be read. */
  readonly problems: readonly string[];
  /** The problems of items that may be about this platform: one of them may be the newest. */
  readonly relevant: readonly string[];
}

/** An item that cannot be read, in the words of its parser, with what it says about itself. */
function unreadable(members: Members, thrown: unknown): string {
  const { message, details } = CocosError.from(thrown);
  const paths = Array.isArray(details['paths']) ? ` (${details['paths'].join(', ')})` : '';
  const number = members['tcbEvaluationDataNumber'];
  const evaluation = typeof number === 'number' ? `evaluation ${number}: ` : '';
  return `${evaluation}${message}${paths}`;
}

/** Parses each item. @param isOther whether an item that cannot be read is about something else */
function readEach<T extends object>(
  items: readonly SignedJson[],
  parser: (bytes: Uint8Array) => T,
  isOther: (members: Members) => boolean,
  cache: CertificateCache,
): Readings<T> {
  const parsed: Parsed<T>[] = [];
  const problems: string[] = [];
  const relevant: string[] = [];
  for (const item of items) {
    try {
      if (item.signature.length !== SIGNATURE_BYTES)
        throw new CocosError('EVIDENCE_INVALID', 'the signature is not 64 bytes');
      parsed.push({ item, value: cache.item(concatBytes(item.signature, item.body), parser) });
    } catch (thrown) {
      const members = membersOf(item);
      const problem = unreadable(members, thrown);
      problems.push(problem);
      if (!isOther(members)) relevant.push(problem);
    }
  }
  return { parsed, problems, relevant };
}

/** Records that items cannot be read, if that decides; whether it does. */
function recordUnreadable(
  name: 'tdx.tcb-info' | 'tdx.qe-identity',
  expected: string,
  { parsed, problems, relevant }: Readings<object>,
  checks: CheckList,
): boolean {
  const shown = relevant.length > 0 || parsed.length > 0 ? relevant : problems;
  if (shown.length === 0) return false;
  checks.record(name, false, expected, `cannot be read: ${shown.join('; ')}`);
  return true;
}

interface Dated {
  readonly issueDate: number;
  readonly nextUpdate: number;
  readonly tcbEvaluationDataNumber: number;
}

/**
 * The item that decides: of those that Intel signed and that are current, the one with the highest evaluation number,
 * of equal ones the newest. The order of files never matters. An item that fails is chosen only without another.
 */
function decisive<T extends Dated>(
  list: readonly Parsed<T>[],
  signed: (item: Parsed<T>) => boolean,
  at: number,
): Parsed<T> | undefined {
  // The usual case: there is nothing to choose, and the signature is checked once, where it is recorded.
  if (list.length < 2) return list[0];
  const sorted = list.toSorted(
    ({ value: a }, { value: b }) =>
      b.tcbEvaluationDataNumber - a.tcbEvaluationDataNumber || b.issueDate - a.issueDate,
  );
  const current = sorted.filter(({ value }) => value.issueDate <= at && at < value.nextUpdate);
  return current.find(signed) ?? sorted.find(signed) ?? current[0] ?? sorted[0];
}

/** How the item was chosen, for people. */
const chosenText = ({ value }: Parsed<Dated>, count: number): string =>
  `evaluation ${value.tcbEvaluationDataNumber}${count > 1 ? `, the highest current one of ${count}` : ''}`;

/**
 * Finds the TCB information of a platform and records every `tdx.tcb-info*` check.
 *
 * @returns null when there is none for any platform.
 */
export function findTcbInfo(
  collateral: Collateral,
  certificates: readonly Certificate[],
  pck: PckExtensions,
  context: TdxContext,
  checks: CheckList,
): TcbInfo | null {
  const platform = (info: { fmspc: string; pceId: string }): string =>
    `FMSPC ${info.fmspc}, PCE ${info.pceId}`;
  const [fmspc, pceId] = [bytesToHex(pck.fmspc), bytesToHex(pck.pceId)];
  const wanted = platform({ fmspc, pceId });
  const isOther = (members: Members) => isOtherTcbInfo(members, fmspc, pceId);
  const read = readEach(collateral.tcbInfos, parseSignedTcbInfo, isOther, context.cache);
  if (recordUnreadable('tdx.tcb-info', 'TCB information of version 3', read, checks)) return null;
  const { parsed } = read;
  const own = parsed.filter(({ value }) => platform(value) === wanted);
  const list = own.length > 0 ? own : parsed;
  const problemOf = (item: Parsed<TcbInfo>) => signatureProblem(item, certificates, context);
  const chosen = decisive(list, (item) => problemOf(item) === null, context.at);
  if (chosen === undefined) {
    checks.missing('tdx.tcb-info', `no TCB information is at hand for ${wanted}`);
    return null;
  }
  const { value } = chosen;
  checks.record('tdx.tcb-info', true, 'TCB information', chosenText(chosen, list.length));
  recordSignature('tcb-info', problemOf(chosen), checks);
  checkDates('tcb-info', value, context.at, checks);
  checks.equal('tdx.tcb-info-platform', wanted, platform(value));
  return value;
}

/** Finds the identity of the TD quoting enclave and records every `tdx.qe-identity*` check but the match. */
export function findQeIdentity(
  collateral: Collateral,
  certificates: readonly Certificate[],
  context: TdxContext,
  checks: CheckList,
): QeIdentity | null {
  const read = readEach(collateral.qeIdentities, parseSignedQeIdentity, isOtherQeIdentity, context.cache);
  if (recordUnreadable('tdx.qe-identity', 'a TD_QE identity of version 2', read, checks)) return null;
  const { parsed } = read;
  const problemOf = (item: Parsed<QeIdentity>) => signatureProblem(item, certificates, context);
  const chosen = decisive(parsed, (item) => problemOf(item) === null, context.at);
  if (chosen === undefined) {
    checks.missing('tdx.qe-identity', 'no identity of the quoting enclave is at hand');
    return null;
  }
  const { value } = chosen;
  checks.record('tdx.qe-identity', true, 'identity TD_QE', chosenText(chosen, parsed.length));
  recordSignature('qe-identity', problemOf(chosen), checks);
  checkDates('qe-identity', value, context.at, checks);
  return value;
}
