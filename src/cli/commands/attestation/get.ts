import type { CommandContext } from '../../command-context.ts';
import { writeNew } from '../../files.ts';
import { withManager } from '../../manager-client.ts';
import { AgentClient } from '../../transfer/agent-client.ts';
import { parseNonce } from '../../trust/attestation-options.ts';
import { relayOf } from '../../trust/relay-address.ts';

interface Options {
  readonly nonce: string;
  readonly out: string;
}

export function run(context: CommandContext, { nonce, out }: Options, enclave: string): Promise<void> {
  return withManager(context, async (client) => {
    const agent = await AgentClient.open(await relayOf(client, enclave), context.environment);
    try {
      const evidence = await agent.evidence(parseNonce(nonce));
      await writeNew(out, evidence);
      const size = evidence.length;
      context.output.result(`wrote ${out}, ${size} bytes`, { file: out, size });
    } finally {
      await agent.close();
    }
  });
}
