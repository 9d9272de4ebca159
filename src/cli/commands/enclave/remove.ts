import type { CommandContext } from '../../command-context.ts';
import { withManager } from '../../manager-client.ts';

export function run(context: CommandContext, _options: unknown, name: string): Promise<void> {
  return withManager(context, async (client) => {
    await client.remove(name);
    context.output.result(`removed ${name}`, { removed: name });
  });
}
