import { CocosError, EXIT } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { withManager } from '../../manager-client.ts';
import { showWatch } from '../show-watch.ts';

interface Options {
  readonly after?: string;
}

export function run(context: CommandContext, options: Options, address: string): Promise<void> {
  return withManager(context, async (client) => {
    const after = options.after ?? '0';
    if (!/^[0-9]{1,16}$/.test(after)) {
      throw new CocosError('USAGE', `Invalid value '${after}' for --after: expected a sequence number.`);
    }
    if (await showWatch(context.output, client, address, Number(after))) context.exit(EXIT.failed);
  });
}
