import { parsePolicy } from '../../../attestation/policy/policy.ts';
import { signPolicy } from '../../../attestation/policy/signed-policy.ts';
import { canonicalDigest } from '../../../crypto/digest.ts';
import type { CommandContext } from '../../command-context.ts';
import { namingFile, readInput, readJson, writeNew } from '../../files.ts';
import { type KeyOptions, signerOf } from './signer.ts';

interface Options extends KeyOptions {
  readonly out: string;
}

export async function run({ output }: CommandContext, options: Options, file: string): Promise<void> {
  const { out } = options;
  const json = await readJson(file);
  namingFile(file, () => parsePolicy(json));
  const { name, signer } = await signerOf(options);
  const envelope = signPolicy(await readInput(file), name, signer);
  await writeNew(out, `${JSON.stringify(envelope, null, 2)}\n`);
  const digest = canonicalDigest(json);
  output.result([`signed by ${name}`, `policy ${digest}`, `wrote ${out}`], { file: out, key: name, digest });
}
