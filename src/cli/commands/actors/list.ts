import type { CommandContext } from '../../command-context.ts';
import { withManager } from '../../manager-client.ts';
import { table } from '../../output.ts';

export function run(context: CommandContext, _options: unknown, prefix: string): Promise<void> {
  return withManager(context, async (client) => {
    const actors = await client.list(prefix);
    const rows = actors.map((actor) => [actor.address, actor.machine, actor.state]);
    context.output.result(table(rows), actors);
  });
}
