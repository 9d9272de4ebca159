import { EXIT } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { withManager } from '../../manager-client.ts';
import { showWatch } from '../show-watch.ts';

export function run(context: CommandContext, _options: unknown, name: string): Promise<void> {
  return withManager(context, async (client) => {
    const failed = await showWatch(context.output, client, name);
    if (failed) context.exit(EXIT.failed);
  });
}
