import { NO_COLLATERAL } from '../collateral/collateral.ts';
import { appraiseDice } from '../dice/appraise.ts';
import type { VtpmReference } from '../policy/reference.ts';
import { SNP_REPORT_BYTES } from '../snp/abi.ts';
import { appraiseSnp } from '../snp/appraise.ts';
import { LEAST_TABLE_BYTES, parseCertificateTable } from '../snp/certificate-table.ts';
import type { SnpProduct } from '../snp/products.ts';
import { appraiseTdx } from '../tdx/appraise.ts';
import { appraiseQuote } from '../tpm/appraise.ts';
import { checkEndorsement } from '../tpm/endorsement-check.ts';
import { checkAttestationKey } from '../tpm/key-check.ts';
import { type AttestationKey, attestationKeyFromSpki, parsePublicArea } from '../tpm/public-area.ts';
import type { PcrBanks } from '../tpm/quote-input.ts';
import { CertificateCache } from '../x509/certificate-cache.ts';
import { SCOPES } from './checks.ts';
import type { AppraisalContext } from './context.ts';
import { parseChecked } from './context.ts';
import { checkTime, verdictOf } from './report-verdict.ts';
import { CheckList, type Verdict } from './verdict.ts';

/** Verdicts on a single statement: whether it is genuine and acceptable, not what it binds. */

/** A context with an optional cache. */
type Given<Left extends keyof AppraisalContext = never> = Omit<AppraisalContext, 'cache' | Left> & {
  /** Reused between appraisals, it avoids repeated signature checks of the same certificates. */
  readonly cache?: CertificateCache | undefined;
};

export interface SnpInput extends Given {
  /** 1184 bytes, optionally followed by the certificate table of the host (extended report). */
  readonly report: Uint8Array;
  /** Endorsement certificate and its authorities, DER, in any order. */
  readonly certificates: readonly Uint8Array[];
  /** The product line that the caller expects; version 2 reports do not name it. */
  readonly product?: SnpProduct | undefined;
  /** The endorsement certificate that must have signed, DER; without it, any of the certificates may have. */
  readonly endorsementKey?: Uint8Array | undefined;
}

/** Splits a report from its certificates. Data too short for a table remains part of the report, whose size is then wrong. */
function splitExtended(bytes: Uint8Array, checks: CheckList) {
  if (bytes.length < SNP_REPORT_BYTES + LEAST_TABLE_BYTES) return { report: bytes, certificates: [] };
  const table = bytes.subarray(SNP_REPORT_BYTES);
  const expected = 'a table of certificates';
  const certificates = parseChecked(checks, 'report.certificate-table', expected, () =>
    parseCertificateTable(table),
  );
  return { report: bytes.subarray(0, SNP_REPORT_BYTES), certificates: certificates ?? [] };
}

/** Appraises an SNP report. Never throws for the content of the evidence. @throws CocosError INPUT_INVALID */
export function verifySnp(input: SnpInput): Verdict {
  checkTime(input.at);
  const checks = new CheckList(SCOPES.snp);
  const { report, certificates } = splitExtended(input.report, checks);
  const { chain, namedEmulated } = appraiseSnp(
    report,
    [
      ...(input.endorsementKey === undefined ? [] : [input.endorsementKey]),
      ...input.certificates,
      ...certificates,
    ],
    { ...input, cache: input.cache ?? new CertificateCache() },
    checks,
    input,
  );
  const emulated = chain?.product === 'emulated';
  const platform = chain === null ? 'unknown' : emulated ? 'emulated' : 'snp';
  return verdictOf(input.report, platform, emulated || namedEmulated, input, checks);
}

export interface TdxInput extends Given {
  readonly quote: Uint8Array;
  /** CCEL of the guest. */
  readonly eventLog?: Uint8Array | undefined;
}

/** Appraises a TDX quote. Never throws for the content of the evidence. @throws CocosError INPUT_INVALID */
export function verifyTdx(input: TdxInput): Verdict {
  checkTime(input.at);
  const checks = new CheckList(SCOPES.tdx);
  const { verified } = appraiseTdx(
    input.quote,
    [],
    input.eventLog,
    { ...input, cache: input.cache ?? new CertificateCache() },
    checks,
  );
  return verdictOf(input.quote, verified === null ? 'unknown' : 'tdx', false, input, checks);
}

export interface TpmInput extends Given<'collateral'> {
  /** TPMS_ATTEST. */
  readonly attest: Uint8Array;
  readonly signature: Uint8Array;
  /** The attestation key that the caller trusts: SubjectPublicKeyInfo in DER, TPMT_PUBLIC or TPM2B_PUBLIC. */
  readonly key: Uint8Array;
  /** Certificate of the key and those of its authorities, DER; compared with the roots of the policy, if it names any. */
  readonly keyCertificates?: readonly Uint8Array[] | undefined;
  /** Qualifying data that the quote must have signed. */
  readonly qualifyingData: Uint8Array;
  readonly pcrs: PcrBanks | null;
  readonly eventLog?: Uint8Array | undefined;
  readonly reference?: VtpmReference | undefined;
}

const DER_SEQUENCE = 0x30;

function readKey(bytes: Uint8Array): AttestationKey {
  return bytes[0] === DER_SEQUENCE ? attestationKeyFromSpki(bytes) : parsePublicArea(bytes);
}

/** Records `vtpm.key-binding` for a key that the caller names; whether a root of the policy endorses it. */
function checkGivenKey(key: AttestationKey, input: TpmInput, checks: CheckList): boolean {
  const roots = input.policy.vtpm.trustedRoots;
  if (roots.length === 0) {
    checks.record('vtpm.key-binding', true, 'the given key', 'trusted because the caller specified it');
    return false;
  }
  const context = { ...input, collateral: NO_COLLATERAL, cache: input.cache ?? new CertificateCache() };
  return checkEndorsement(key, input.keyCertificates ?? [], context, checks);
}

/** Appraises a TPM quote. Never throws for the content of the evidence. @throws CocosError INPUT_INVALID */
export function verifyTpm(input: TpmInput): Verdict {
  checkTime(input.at);
  const checks = new CheckList(SCOPES.tpm);
  const key = checkAttestationKey(() => readKey(input.key), checks);
  const endorsed = key !== null && checkGivenKey(key, input, checks);
  const { attest, signature, qualifyingData, pcrs, eventLog, reference, crypto } = input;
  const { vtpm: policy } = input.policy;
  appraiseQuote(
    { attest, signature, key, qualifyingData, pcrs, eventLog, policy, reference, crypto },
    checks,
  );
  return {
    ...verdictOf(attest, 'vtpm', false, input, checks),
    vtpmOwner: endorsed ? 'provider' : 'caller',
  };
}

export interface DiceChainInput extends Given<'collateral'> {
  readonly format: 'cbor' | 'x509';
  /** First layer first. */
  readonly chain: readonly Uint8Array[];
  /** Root key sent with the chain; used only if the policy lists it. */
  readonly rootKey?: Uint8Array | undefined;
}

/** Appraises a DICE chain. Never throws for the content of the evidence. @throws CocosError INPUT_INVALID */
export function verifyDice(input: DiceChainInput): Verdict {
  checkTime(input.at);
  const checks = new CheckList(SCOPES.dice);
  const { format, chain, rootKey, at, crypto, policy } = input;
  const rest = { namedRoot: undefined, policy: policy.dice, reference: undefined, at, crypto };
  const leaf = appraiseDice({ format, chain, rootKey, ...rest }, checks);
  if (leaf !== null) checks.notChecked('dice.leaf', 'there are no claims for comparison');
  return verdictOf(chain.at(-1) ?? new Uint8Array(), 'dice', false, input, checks);
}
