import { parsePolicy } from '../../../attestation/policy/policy.ts';
import { signPolicy } from '../../../attestation/policy/signed-policy.ts';
import { isoTime } from '../../../attestation/x509/time.ts';
import { canonicalDigest } from '../../../crypto/digest.ts';
import { CocosError } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { namingFile, readInput, readJson, writeNew } from '../../files.ts';
import { parseTime } from '../../trust/attestation-options.ts';
import { type KeyOptions, signerOf } from './signer.ts';

interface Options extends KeyOptions {
  readonly policyVersion: string;
  readonly expires: string;
  readonly name: string;
  readonly out: string;
}

export async function run({ output }: CommandContext, options: Options, file: string): Promise<void> {
  const { out } = options;
  const policyVersion = Number(options.policyVersion);
  if (!Number.isSafeInteger(policyVersion) || policyVersion < 1) {
    throw new CocosError(
      'USAGE',
      `Invalid value '${options.policyVersion}' for --policy-version: expected a whole number from 1, above that of your last policy.`,
    );
  }
  const terms = {
    name: options.name,
    policyVersion,
    issuedAt: isoTime(parseTime(undefined)),
    expires: isoTime(parseTime(options.expires)),
  };
  const json = await readJson(file);
  namingFile(file, () => parsePolicy(json));
  const { name, signer } = await signerOf(options);
  const bytes = await readInput(file);
  const envelope = namingFile(file, () => signPolicy(bytes, terms, name, signer));
  await writeNew(out, `${JSON.stringify(envelope, null, 2)}\n`);
  const digest = canonicalDigest(json);
  output.result(
    [
      `signed by ${name}, as version ${policyVersion} of '${terms.name}', until ${terms.expires}`,
      `policy ${digest}`,
      `wrote ${out}`,
    ],
    { file: out, key: name, digest, ...terms },
  );
}
