import { verifyDice } from '../../../attestation/appraisal/standalone.ts';
import { splitDiceChain } from '../../../attestation/dice/chain-file.ts';
import { attestationCrypto as crypto } from '../../../crypto/attestation-crypto.ts';
import type { CommandContext } from '../../command-context.ts';
import { parseTime } from '../../trust/attestation-options.ts';
import { inFile, readEvidence } from '../../trust/evidence-files.ts';
import { type PolicyOptions, policyOf, showVerdict } from './show-verdict.ts';

interface Options extends PolicyOptions {
  readonly chain: string;
  readonly at?: string;
}

export async function run(context: CommandContext, options: Options): Promise<void> {
  const bytes = await readEvidence(options.chain);
  const { format, chain, rootKey } = inFile(options.chain, () => splitDiceChain(bytes));
  const policy = await policyOf(options, 'snp', context.environment);
  const verdict = verifyDice({ format, chain, rootKey, policy, at: parseTime(options.at), crypto });
  showVerdict(context, verdict, ['dice.parse']);
}
