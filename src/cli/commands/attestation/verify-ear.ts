import { verifyEar } from '../../../attestation/appraisal/ear.ts';
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
    ...nonceProblems(claims, options.nonce),
    ...ageProblems(claims.iat, options),
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
  return all.flatMap(([name, { 'ear.status': status }]) =>
    status === 'affirming' || status === 'warning' ? [] : [`the status of ${name} is ${status}`],
  );
}

function nonceProblems(claims: Claims, nonce: string | undefined): string[] {
  if (nonce === undefined) return [];
  const expected = Buffer.from(parseNonce(nonce)).toString('base64url');
  const found = claims['eat_nonce'];
  if (found === expected) return [];
  return [`the nonce is ${typeof found === 'string' ? found : 'missing'}, expected ${expected}`];
}

function ageProblems(iat: number, { maxAge, at }: Options): string[] {
  const seconds = Math.floor(parseTime(at) / 1000) - iat;
  if (seconds < -CLOCK_TOLERANCE_SECONDS) return [`it was issued ${-seconds} s in the future`];
  if (maxAge === undefined) return [];
  if (!/^[1-9]\d{0,8}$/.test(maxAge)) {
    throw new CocosError('USAGE', `Invalid value '${maxAge}' for --max-age: expected seconds, at least 1.`);
  }
  return seconds > Number(maxAge) ? [`it is ${seconds} s old, more than ${maxAge} s`] : [];
}
