import { verifyEar } from '../../../attestation/appraisal/ear.ts';
import { attestationCrypto } from '../../../crypto/attestation-crypto.ts';
import { parseSigningKey } from '../../../crypto/keys.ts';
import type { CommandContext } from '../../command-context.ts';
import { namingFile } from '../../files.ts';
import { readEvidence } from '../../trust/evidence-files.ts';

interface Options {
  readonly key: string;
}

export async function run({ output }: CommandContext, { key }: Options, file: string): Promise<void> {
  const token = Buffer.from(await readEvidence(file))
    .toString('latin1')
    .trim();
  const publicKey = parseSigningKey(key);
  const claims = namingFile(file, () => verifyEar(token, publicKey, attestationCrypto));
  output.result(JSON.stringify(claims, null, 2).split('\n'), claims);
}
