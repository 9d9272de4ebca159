import { decodeClaims } from '../../../attestation/evidence/claims.ts';
import { decodeEvidence } from '../../../attestation/evidence/evidence.ts';
import { sha256Text } from '../../../crypto/digest.ts';
import { encodeSigningKey } from '../../../crypto/keys.ts';
import { CocosError } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { readInput } from '../../files.ts';
import { describeReceipt, readHeader, withResult } from './result-reader.ts';

interface Options {
  readonly evidence?: string;
}

export async function run({ output }: CommandContext, { evidence }: Options, file: string): Promise<void> {
  const { header, receipt } = await withResult(file, (reader) => readHeader(file, reader));
  if (evidence !== undefined) {
    const { claims } = decodeEvidence(await readInput(evidence));
    const { signingKey } = decodeClaims(claims);
    const isProven =
      encodeSigningKey(signingKey) === header.agentSigningKey &&
      sha256Text(claims) === receipt.evidenceDigest;
    if (!isProven) {
      throw new CocosError(
        'RESULT_INVALID',
        `The receipt in ${file} was signed by another agent than the one that produced ${evidence}.`,
      );
    }
  }
  output.result(describeReceipt(receipt), { receipt, agentSigningKey: header.agentSigningKey });
}
