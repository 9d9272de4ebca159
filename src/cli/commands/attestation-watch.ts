import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { CocosError, EXIT } from '../../errors.ts';
import { VERDICT_LIFETIME_MS } from '../../machines/verifier.machine.ts';
import type { CommandContext } from '../command-context.ts';
import { readManifest } from '../global-options.ts';
import { AgentClient } from '../transfer/agent-client.ts';
import { relayOf } from '../trust/relay-address.ts';
import { readTrust, type TrustOptions } from '../trust/trust.ts';
import { EnclaveVerifier } from '../trust/verifier.ts';

interface WatchOptions extends TrustOptions {
  readonly manifest?: string;
  readonly every?: string;
}

/** Before an enclave that gave no evidence is challenged again. */
const PAUSE_MS = 2_000;

/** `attestation watch`: a verdict that is made anew whenever the last one may not be relied on any longer. */
export function addWatchCommand(attestation: Command, context: CommandContext): void {
  attestation
    .command('watch')
    .description('judge an enclave again and again, until it is rejected: exit 2')
    .argument('<enclave>')
    .requiredOption('--policy <file>', 'your appraisal policy')
    .requiredOption('--reference <file>', 'reference values of the image that you rely on')
    .option('--manifest <file>', 'the manifest that the enclave must hold')
    .option('--every <seconds>', 'how long a verdict is relied on; 600 when left out')
    .option('--policy-key <key>', 'who must have signed the policy, ed25519:…')
    .option('--collateral <dir>', "vendors' certificates, revocation lists and TCB information")
    .action((enclave: string, options: WatchOptions, command: Command) =>
      context.withManager(command, async (client) => {
        const lifetimeMs = parseSeconds(options.every);
        const trust = await readTrust(options, context.environment);
        const manifest = options.manifest === undefined ? undefined : await readManifest(options.manifest);
        const agent = new AgentClient(await relayOf(client, enclave));
        const verifier = new EnclaveVerifier(agent, trust, manifest, lifetimeMs);
        try {
          while (await judge(verifier, context)) await verifier.stale();
        } finally {
          verifier.close();
          agent.close();
        }
      }),
    );
}

/** Shows one verdict, or that none could be reached; false when the enclave is rejected. */
async function judge(verifier: EnclaveVerifier, { output, exit }: CommandContext): Promise<boolean> {
  const at = new Date().toISOString();
  try {
    const { verdict } = await verifier.verify();
    const emulated = verdict.emulated ? ' EMULATED' : '';
    output.line(`${at} accepted${emulated}`, { at, outcome: 'accepted', emulated: verdict.emulated });
    return true;
  } catch (thrown) {
    const { code, message, details } = CocosError.from(thrown);
    const isRejected = code === 'ATTEST_REJECTED';
    const outcome = isRejected ? 'rejected' : 'unanswered';
    output.line(`${at} ${outcome}: ${message}`, { at, outcome, code, message, ...details });
    if (isRejected) exit(EXIT.rejected);
    else await sleep(PAUSE_MS);
    return !isRejected;
  }
}

function parseSeconds(text: string | undefined): number {
  if (text === undefined) return VERDICT_LIFETIME_MS;
  const seconds = Number(text);
  if (!(seconds >= 1 && seconds <= 86_400)) {
    throw new CocosError('USAGE', `--every takes seconds from 1 to 86400, not ${text}.`);
  }
  return seconds * 1_000;
}
