import { bytesToHex } from '@noble/hashes/utils.js';
import { CocosError } from '../errors.ts';
import { appraiseLaunch } from './appraise-launch.ts';
import type { CheckName } from './checks.ts';
import { type Claims, decodeClaims, NONCE_BYTES, reportData } from './claims.ts';
import type { AttestationCrypto } from './crypto-port.ts';
import { decodeEvidence, type EvidenceBundle, evidenceDigest } from './evidence.ts';
import type { AppraisalPolicy } from './policy.ts';
import type { ReferenceValues } from './reference.ts';
import { parseSnpReport, type SnpReport } from './snp/abi.ts';
import { EMULATED_ROOT_NAME, type SnpChain, verifyChain } from './snp/chain.ts';
import { checkSnpPolicy } from './snp/policy.ts';
import { verifyReport } from './snp/verify.ts';
import { CheckList, type Verdict } from './verdict.ts';
import { type Certificate, parseCertificate } from './x509/certificate.ts';

export interface AppraisalInput {
  /** The bundle as received: hostile until proven. */
  readonly evidence: Uint8Array;
  /** 32 bytes that this verifier chose for this evidence. */
  readonly nonce: Uint8Array;
  readonly policy: AppraisalPolicy;
  readonly reference: ReferenceValues;
  /** Time of appraisal: milliseconds since 1970, or a Date. */
  readonly at: number | { getTime(): number };
  /** `sha256:` digest of the manifest that the relying party agreed to. */
  readonly expectedManifestDigest?: string | undefined;
  /** When the nonce was made, milliseconds since 1970; needed when the policy limits the age. */
  readonly nonceIssuedAt?: number | undefined;
  /** Certificates in DER that the evidence may lack. */
  readonly collateral?: { readonly certificates: readonly Uint8Array[] } | undefined;
  readonly crypto: AttestationCrypto;
}

interface Parsed {
  readonly bundle: EvidenceBundle | null;
  readonly claims: Claims | null;
  readonly report: SnpReport | null;
  readonly certificates: readonly Certificate[];
}

/** Runs one parser and records its outcome; hostile bytes become a failed check. */
function parse<T>(checks: CheckList, name: CheckName, expected: string, parser: () => T): T | null {
  try {
    const value = parser();
    checks.record(name, true, expected, 'well-formed');
    return value;
  } catch (thrown) {
    checks.record(name, false, expected, CocosError.from(thrown).message);
    return null;
  }
}

function parseAll(input: AppraisalInput, checks: CheckList): Parsed {
  const bundle = parse(checks, 'evidence.parse', 'a bundle of version 1', () =>
    decodeEvidence(input.evidence),
  );
  if (bundle === null) return { bundle, claims: null, report: null, certificates: [] };
  const claims = parse(checks, 'claims.parse', 'claims of version 1', () => decodeClaims(bundle.claims));
  const report = parse(checks, 'report.parse', 'an SNP report', () => parseSnpReport(bundle.report.report));
  const ders = [...bundle.report.certificates, ...(input.collateral?.certificates ?? [])];
  const expected = `${ders.length} certificates`;
  const certificates = parse(checks, 'certificates.parse', expected, () => ders.map(parseCertificate));
  return { bundle, claims, report, certificates: certificates ?? [] };
}

function checkManifest(input: AppraisalInput, claims: Claims, report: SnpReport, checks: CheckList): void {
  const claimed = claims.manifestDigest === null ? 'none' : `sha256:${bytesToHex(claims.manifestDigest)}`;
  if (input.expectedManifestDigest === undefined) {
    checks.notChecked('binding.manifest', 'no manifest digest was given to compare with');
  } else {
    checks.equal('binding.manifest', input.expectedManifestDigest, claimed);
  }
  if (report.hostData.every((byte) => byte === 0)) {
    checks.notChecked('binding.host-data', 'no manifest was named at launch');
  } else {
    checks.equal('binding.host-data', claimed, `sha256:${bytesToHex(report.hostData)}`);
  }
}

function checkAge(input: AppraisalInput, at: number, checks: CheckList): void {
  const limit = input.policy.maxAgeSeconds;
  if (limit === undefined) {
    checks.notChecked('binding.age', 'the policy has no maximum age');
    return;
  }
  const issued = input.nonceIssuedAt;
  const age = issued === undefined ? null : (at - issued) / 1000;
  const found = age === null ? 'the age of the nonce is not known' : `${age} s`;
  checks.record('binding.age', age !== null && age >= 0 && age <= limit, `0 to ${limit} s`, found);
}

function checkBinding(input: AppraisalInput, parsed: Parsed, at: number, checks: CheckList): void {
  const { bundle, claims, report } = parsed;
  checkAge(input, at, checks);
  if (bundle === null || claims === null || report === null) return;
  const expected = reportData(input.nonce, bundle.claims, input.crypto);
  checks.equalBytes('binding.report-data', expected, report.reportData);
  checks.equal('launch.eos-version', input.reference.eosVersion, claims.eosVersion);
  checkManifest(input, claims, report, checks);
}

function checkReport(input: AppraisalInput, parsed: Parsed, at: number, checks: CheckList): SnpChain | null {
  const { report, certificates, claims, bundle } = parsed;
  if (report === null || bundle === null) return null;
  const { crypto, policy, reference } = input;
  const chain = verifyChain({ report, certificates, emulatedRoot: policy.emulatedRoot, at, crypto }, checks);
  if (chain === null) return null;
  const platform = chain.product === 'emulated' ? 'emulated' : 'snp';
  checks.record(
    'policy.platform',
    policy.platforms.includes(platform),
    policy.platforms.join(' or '),
    platform,
  );
  if (claims !== null) checks.equal('binding.platform', platform, claims.platform);
  const tcb = verifyReport(report, chain, crypto, checks);
  if (tcb === null) return chain;
  checkSnpPolicy(report, tcb, chain.product, policy, checks);
  appraiseLaunch(bundle.launchLog, report.measurement, reference, platform === 'emulated', crypto, checks);
  return chain;
}

function checkInput(input: AppraisalInput): number {
  const at = typeof input.at === 'number' ? input.at : input.at.getTime();
  if (!Number.isFinite(at)) throw new CocosError('INPUT_INVALID', 'the time of appraisal is not a time');
  if (input.nonce.length !== NONCE_BYTES) {
    throw new CocosError('INPUT_INVALID', `the nonce has ${input.nonce.length} bytes, not ${NONCE_BYTES}`);
  }
  const digest = input.expectedManifestDigest;
  if (digest !== undefined && !/^sha256:[0-9a-f]{64}$/.test(digest)) {
    throw new CocosError('INPUT_INVALID', 'the expected manifest digest is not a SHA-256 digest');
  }
  return at;
}

/**
 * Appraises evidence: a pure function of its arguments, without network, clock or state. Whatever the evidence holds,
 * the answer is a verdict with one entry for every check of the table; it is accepted only when no check failed and
 * every required one passed.
 *
 * @throws CocosError INPUT_INVALID when the caller's own arguments are wrong (nonce length, digest form), never for
 * anything in the evidence.
 */
export function appraise(input: AppraisalInput): Verdict {
  const at = checkInput(input);
  const checks = new CheckList();
  checks.notChecked('vtpm.quote', 'the evidence has no vTPM quote');
  checks.notChecked('dice.chain', 'the evidence has no DICE chain');
  const parsed = parseAll(input, checks);
  checkBinding(input, parsed, at, checks);
  const chain = checkReport(input, parsed, at, checks);
  const { checks: list, failures } = checks.finish();
  const namedEmulated = parsed.certificates.some((c) => c.subject.commonName === EMULATED_ROOT_NAME);
  const proven = chain === null ? 'unknown' : chain.product === 'emulated' ? 'emulated' : 'snp';
  const verdict: Verdict = {
    outcome: failures.length === 0 ? 'accepted' : 'rejected',
    platform: proven,
    emulated: proven === 'emulated' || namedEmulated || parsed.claims?.platform === 'emulated',
    evidenceDigest: evidenceDigest(input.evidence, input.crypto),
    checks: list,
    failures,
  };
  return parsed.claims === null ? verdict : { ...verdict, claims: parsed.claims };
}
