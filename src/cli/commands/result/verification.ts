import type { FileHandle } from 'node:fs/promises';
import { verdictToJson } from '../../../attestation/appraisal/format-verdict.ts';
import { ByteReader } from '../../../crypto/byte-reader.ts';
import type { ParticipantKeys } from '../../../crypto/keys.ts';
import { CocosError } from '../../../errors.ts';
import { readResultHeader } from '../../../protocol/result-file.ts';
import { systemClock } from '../../../runtime/clock.ts';
import { chunksOf, rejectNamingFile } from '../../files.ts';
import { readManifest } from '../../manifest-file.ts';
import { table } from '../../output.ts';
import { parseNonce, parseTime } from '../../trust/attestation-options.ts';
import { readEvidence } from '../../trust/evidence-files.ts';
import { type ResultTrust, type ResultVerification, verifyResult } from '../../trust/result-verification.ts';
import { readTrust, type TrustOptions } from '../../trust/trust.ts';
import { describeReceipt } from './result-reader.ts';

/** Options of the commands that verify a result file. */
export interface VerificationOptions extends Partial<TrustOptions> {
  readonly manifest?: string;
  readonly evidence?: string;
  readonly nonce?: string;
  readonly at?: string;
}

/** Reads what the options name. @throws CocosError as their readers; USAGE for one of --policy and --reference alone */
export async function readResultTrust(
  options: VerificationOptions,
  environment: NodeJS.ProcessEnv,
  keys: ParticipantKeys | undefined,
): Promise<ResultTrust> {
  const { policy, reference, manifest, evidence, nonce, at } = options;
  if ((policy === undefined) !== (reference === undefined)) {
    throw new CocosError('USAGE', '--policy and --reference must be given together.');
  }
  if (nonce !== undefined && evidence === undefined) {
    throw new CocosError(
      'USAGE',
      '--nonce belongs to --evidence; the nonce in a result file is in its audit record.',
    );
  }
  return {
    keys,
    nonce: nonce === undefined ? undefined : parseNonce(nonce),
    now: systemClock.wall(),
    at: at === undefined ? undefined : parseTime(at),
    manifest: manifest === undefined ? undefined : await readManifest(manifest),
    evidence: evidence === undefined ? undefined : await readEvidence(evidence),
    trust:
      policy === undefined || reference === undefined
        ? undefined
        : await readTrust({ ...options, policy, reference }, environment, true),
  };
}

/** @throws CocosError RESULT_INVALID, STREAM_TRUNCATED naming the file, when it is not a result file */
export async function verifyFile(
  file: string,
  handle: FileHandle,
  given: ResultTrust,
): Promise<ResultVerification & { readonly agentSigningKey: string }> {
  const reader = new ByteReader(chunksOf(handle));
  const header = await readResultHeader(reader).catch(rejectNamingFile(file));
  return { ...(await verifyResult(header, reader, given)), agentSigningKey: header.agentSigningKey };
}

const MARKS = { passed: 'ok', failed: 'FAILED', missing: 'missing', 'not-checked': '-' } as const;

/** The numbers of a verdict; a check that is missing was not made, although a result is verified only with it. */
function countChecks({ checks }: ResultVerification) {
  const count = (...outcomes: (keyof typeof MARKS)[]) =>
    checks.filter((check) => outcomes.includes(check.outcome)).length;
  return {
    passed: count('passed'),
    failed: count('failed'),
    notChecked: count('missing', 'not-checked'),
  };
}

const CONCLUSIONS: Readonly<Record<ResultVerification['outcome'], string>> = {
  verified: 'the result is genuine by your manifest, policy and reference values',
  unverified: 'nothing is known about the result, since checks could not be made; see how below',
  rejected: 'do not use the result; the failed checks say why',
};

export function describeVerification(verified: ResultVerification): string[] {
  const { outcome, checks, receipt } = verified;
  const { passed, failed, notChecked } = countChecks(verified);
  return [
    outcome.toUpperCase(),
    `${passed} passed, ${failed} failed, ${notChecked} not checked: ${CONCLUSIONS[outcome]}.`,
    ...table(checks.map(({ name, outcome: each, detail }) => [MARKS[each], name, detail])),
    ...(receipt === null ? [] : ['', ...describeReceipt(receipt)]),
  ];
}

export function verificationToJson(verified: ResultVerification & { readonly agentSigningKey: string }) {
  const { verdict, ...rest } = verified;
  return {
    ...rest,
    counts: countChecks(verified),
    verdict: verdict === null ? null : verdictToJson(verdict),
  };
}

/** @throws CocosError RESULT_UNVERIFIED, RESULT_INVALID unless the result is verified */
export function requireVerified(file: string, { outcome, checks }: ResultVerification): void {
  if (outcome === 'verified') return;
  const wanted = outcome === 'rejected' ? 'failed' : 'missing';
  const reasons = checks.filter((check) => check.outcome === wanted);
  const list = reasons.map(({ name, detail }) => `${name} (${detail})`).join('; ');
  const details = { checks: reasons.map(({ name }) => name) };
  if (outcome === 'rejected') {
    throw new CocosError('RESULT_INVALID', `${file} was not opened, since it does not verify: ${list}.`, {
      details,
    });
  }
  throw new CocosError(
    'RESULT_UNVERIFIED',
    `${file} was not opened, since anybody who knows your public key could have made it. To verify it: ${list}. To open it nevertheless, add --force-unverified.`,
    { details },
  );
}
