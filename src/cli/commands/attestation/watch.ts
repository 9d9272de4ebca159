import { setTimeout as sleep } from 'node:timers/promises';
import { CocosError, EXIT } from '../../../errors.ts';
import { VERDICT_LIFETIME_MS } from '../../../machines/verifier.machine.ts';
import type { CommandContext } from '../../command-context.ts';
import { withManager } from '../../manager-client.ts';
import { readManifest } from '../../manifest-file.ts';
import { AgentClient } from '../../transfer/agent-client.ts';
import { relayOf } from '../../trust/relay-address.ts';
import { readTrust, type TrustOptions } from '../../trust/trust.ts';
import { EnclaveVerifier } from '../../trust/verifier.ts';

interface Options extends TrustOptions {
  readonly manifest?: string;
  readonly every?: string;
}

/** Pause before an enclave that did not send evidence is challenged again. */
const PAUSE_MS = 2_000;

/** Appraises an enclave again whenever the last verdict has become stale. */
export function run(context: CommandContext, options: Options, enclave: string): Promise<void> {
  return withManager(context, async (client) => {
    const lifetimeMs = parseSeconds(options.every);
    const trust = await readTrust(options, context.environment);
    const manifest = options.manifest === undefined ? undefined : await readManifest(options.manifest);
    const agent = await AgentClient.open(await relayOf(client, enclave), context.environment);
    const verifier = new EnclaveVerifier(agent, trust, manifest, { lifetimeMs });
    try {
      while (await appraiseOnce(verifier, context)) await verifier.stale();
    } finally {
      verifier.close();
      await agent.close();
    }
  });
}

/** Shows one verdict, or why there is none. False when the enclave is rejected. */
async function appraiseOnce(verifier: EnclaveVerifier, { output, exit }: CommandContext): Promise<boolean> {
  const at = new Date().toISOString();
  try {
    const { verdict } = await verifier.verify();
    const emulated = verdict.emulated ? ' EMULATED' : '';
    output.line(`${at} accepted${emulated}`, { at, outcome: 'accepted', emulated: verdict.emulated });
    return true;
  } catch (thrown) {
    const { code, message, details } = CocosError.from(thrown);
    // Nothing is accepted by this policy any more.
    if (code === 'POLICY_INVALID') throw thrown;
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
    throw new CocosError('USAGE', `Invalid value '${text}' for --every: expected seconds from 1 to 86400.`);
  }
  return seconds * 1_000;
}
