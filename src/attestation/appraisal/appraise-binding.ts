import { bytesToHex } from '@noble/hashes/utils.js';
import { type Claims, claimedManifest, reportData } from '../evidence/claims.ts';
import type { EvidenceBundle } from '../evidence/evidence.ts';
import type { BuildInput, PlatformReport } from './appraisal.ts';
import type { CheckList } from './verdict.ts';

/** Whether the report binds these claims, this challenge and this manifest. */

const SHA256_BYTES = 32;

/** The nonce that the report must bind: the verifier's own, or else the one in the bundle. */
export function boundNonce(input: BuildInput, bundle: EvidenceBundle): Uint8Array | undefined {
  return input.nonce ?? bundle.nonce;
}

function checkNonce(input: BuildInput, bundle: EvidenceBundle, checks: CheckList): void {
  const { nonce } = input;
  if (nonce === undefined) {
    checks.notChecked(
      'binding.nonce',
      'NOT FRESH: no nonce was given, so the evidence may be old or replayed',
    );
  } else if (bundle.nonce === undefined) {
    checks.record('binding.nonce', true, bytesToHex(nonce), 'the nonce that the report must bind');
  } else {
    checks.equalBytes('binding.nonce', nonce, bundle.nonce);
  }
}

function checkAge(input: BuildInput, at: number, checks: CheckList): void {
  const limit = input.policy.maxAgeSeconds;
  if (limit === undefined) {
    checks.notChecked('binding.age', 'the policy has no maximum age');
    return;
  }
  const issued = input.nonceIssuedAt;
  const age = issued === undefined ? null : (at - issued) / 1000;
  const found = age === null ? 'the age of the nonce is unknown' : `${age} s`;
  checks.record('binding.age', age !== null && age >= 0 && age <= limit, `0 to ${limit} s`, found);
}

function checkManifest(
  input: BuildInput,
  claims: Claims,
  hostData: Uint8Array | null,
  checks: CheckList,
): void {
  const claimed = claimedManifest(claims);
  if (input.expectedManifestDigest === undefined) {
    checks.notChecked('binding.manifest', 'no manifest digest was given');
  } else {
    checks.equal('binding.manifest', input.expectedManifestDigest, claimed);
  }
  if (hostData === null) return;
  if (hostData.every((byte) => byte === 0)) {
    checks.notChecked('binding.host-data', 'no manifest was specified at launch');
    return;
  }
  // MRCONFIGID is longer than a digest; the remaining bytes must be zero.
  const rest = hostData.subarray(SHA256_BYTES);
  const named = `sha256:${bytesToHex(hostData.subarray(0, SHA256_BYTES))}`;
  checks.equal('binding.host-data', claimed, rest.some((byte) => byte !== 0) ? bytesToHex(hostData) : named);
}

function checkPolicyDigest(input: BuildInput, checks: CheckList): void {
  const { policyDigest } = input;
  if (policyDigest === undefined) {
    checks.notChecked('binding.policy', 'no manifest pins a policy');
  } else {
    checks.equal('binding.policy', policyDigest.expected, policyDigest.found);
  }
}

/** Records every `binding.*` check but `binding.parts`, and `launch.eos-version`. */
export function checkBinding(
  input: BuildInput,
  bundle: EvidenceBundle,
  claims: Claims | null,
  report: PlatformReport,
  at: number,
  checks: CheckList,
): void {
  checkAge(input, at, checks);
  checkNonce(input, bundle, checks);
  checkPolicyDigest(input, checks);
  if (claims === null) return;
  checks.equal('launch.eos-version', input.reference.eosVersion, claims.eosVersion);
  checkManifest(input, claims, report.hostData, checks);
  if (report.platform !== 'unknown') checks.equal('binding.platform', report.platform, claims.platform);
  if (report.reportData === null) return;
  const nonce = boundNonce(input, bundle);
  if (nonce === undefined) {
    checks.missing('binding.report-data', 'no nonce was given and the bundle has none');
    return;
  }
  checks.equalBytes('binding.report-data', reportData(nonce, bundle.claims, input.crypto), report.reportData);
}
