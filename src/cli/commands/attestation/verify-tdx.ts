import { verifyTdx } from '../../../attestation/appraisal/standalone.ts';
import { attestationCrypto as crypto } from '../../../crypto/attestation-crypto.ts';
import { collateralOf } from '../../collateral/collateral.ts';
import type { CommandContext } from '../../command-context.ts';
import { parseTime } from '../../trust/attestation-options.ts';
import { readEvidence } from '../../trust/evidence-files.ts';
import { type PolicyOptions, policyOf, showVerdict } from './show-verdict.ts';

interface Options extends PolicyOptions {
  readonly quote: string;
  readonly collateral?: string;
  readonly eventlog?: string;
  readonly at?: string;
}

export async function run(context: CommandContext, options: Options): Promise<void> {
  const verdict = verifyTdx({
    quote: await readEvidence(options.quote),
    eventLog: options.eventlog === undefined ? undefined : await readEvidence(options.eventlog),
    policy: await policyOf(options, 'tdx', context.environment),
    collateral: await collateralOf(options.collateral, context.environment),
    at: parseTime(options.at),
    crypto,
  });
  showVerdict(context, verdict, ['report.parse', 'report.size', 'tdx.lengths']);
}
