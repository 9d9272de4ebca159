import type { CommandContext } from '../../command-context.ts';
import { withManager } from '../../manager-client.ts';
import { describe } from './describe.ts';
import { waitForState } from './wait-for-state.ts';

export function run(context: CommandContext, _options: unknown, name: string): Promise<void> {
  return withManager(context, async (client) => {
    const before = await client.send(name, { type: 'enclave.stop' });
    const stopped = await waitForState(context, client, before, 'stopped.settled');
    context.output.result(describe(stopped), stopped);
  });
}
