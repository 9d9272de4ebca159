import { tierOf, verifyEar } from '../../../attestation/appraisal/ear.ts';
import { attestationCrypto } from '../../../crypto/attestation-crypto.ts';
import { parseSigningKey } from '../../../crypto/keys.ts';
import { CocosError, EXIT } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { namingFile } from '../../files.ts';
import { parseNonce, parseTime } from '../../trust/attestation-options.ts';
import { readEvidence } from '../../trust/evidence-files.ts';

interface Options {
  readonly key: string;
  readonly nonce?: string;
  readonly maxAge?: string;
  readonly at?: string;
}

/** A verifier's clock may be ahead of this one by so much. */
const CLOCK_TOLERANCE_SECONDS = 60;

export async function run(context: CommandContext, options: Options, file: string): Promise<void> {
  const { key } = options;
  const token = Buffer.from(await readEvidence(file))
    .toString('latin1')
    .trim();
  const publicKey = parseSigningKey(key);
  const claims = namingFile(file, () => verifyEar(token, publicKey, attestationCrypto));
  const problems = [
    ...statusProblems(claims),
    ...failureProblems(claims),
    ...nonceProblems(claims, options.nonce),
    ...timeProblems(claims, options),
  ];
  const text = [
    ...JSON.stringify(claims, null, 2).split('\n'),
    ...problems.map((each) => `rejected: ${each}`),
  ];
  context.output.result(text, { ...claims, 'cocosai.problems': problems });
  if (problems.length > 0) context.exit(EXIT.rejected);
}

type Claims = ReturnType<typeof verifyEar>;

/** A result without submodules says nothing, and one that is not affirming is not a recommendation to trust. */
function statusProblems({ submods }: Claims): string[] {
  const all = Object.entries(submods);
  if (all.length === 0) return ['the result has no submodule'];
  return all.flatMap(([name, { 'ear.status': status, 'ear.trustworthiness-vector': vector = {} }]) => {
    if (status !== 'affirming' && status !== 'warning') return [`the status of ${name} is ${status}`];
    // No status is better than the worst claim of its vector (draft-ietf-rats-ear).
    return Object.entries(vector).flatMap(([claim, value]) => {
      const tier = tierOf(value);
      const isWorse = tier === 'contraindicated' || (tier === 'warning' && status === 'affirming');
      return isWorse ? [`the status of ${name} is ${status}, but its ${claim} is ${tier} (${value})`] : [];
    });
  });
}

function failureProblems({ 'cocosai.failures': failures = [] }: Claims): string[] {
  return failures.length === 0 ? [] : [`these checks failed: ${failures.join(', ')}`];
}

function nonceProblems(claims: Claims, nonce: string | undefined): string[] {
  if (nonce === undefined) return [];
  const expected = Buffer.from(parseNonce(nonce)).toString('base64url');
  const found = claims['eat_nonce'];
  if (found === expected) return [];
  return [`the nonce is ${typeof found === 'string' ? found : 'missing'}, expected ${expected}`];
}

function timeProblems({ iat, exp, nbf }: Claims, options: Options): string[] {
  const now = Math.floor(parseTime(options.at) / 1000);
  return [
    ...(exp !== undefined && now >= exp ? [`it expired ${now - exp} s ago`] : []),
    ...(nbf !== undefined && nbf - now > CLOCK_TOLERANCE_SECONDS
      ? [`it is valid only in ${nbf - now} s`]
      : []),
    ...ageProblems(now - iat, options),
  ];
}

function ageProblems(seconds: number, { maxAge }: Options): string[] {
  if (seconds < -CLOCK_TOLERANCE_SECONDS) return [`it was issued ${-seconds} s in the future`];
  if (maxAge === undefined) return [];
  if (!/^[1-9]\d{0,8}$/.test(maxAge)) {
    throw new CocosError('USAGE', `Invalid value '${maxAge}' for --max-age: expected seconds, at least 1.`);
  }
  return seconds > Number(maxAge) ? [`it is ${seconds} s old, more than ${maxAge} s`] : [];
}
