import type { CommandContext } from '../../command-context.ts';
import { withManager } from '../../manager-client.ts';
import { table } from '../../output.ts';

export function run(context: CommandContext, _options: unknown, address: string): Promise<void> {
  return withManager(context, async (client) => {
    const actor = await client.get(address);
    const head = [
      ['actor', actor.address],
      ['state', actor.state],
      ['events', actor.legalEvents.join(', ') || 'none'],
    ];
    const rows = Object.entries(actor.context).map(([key, value]) => [key, JSON.stringify(value)]);
    context.output.result(table([...head, ...rows]), actor);
  });
}
