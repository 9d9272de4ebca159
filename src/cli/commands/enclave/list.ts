import type { CommandContext } from '../../command-context.ts';
import { withManager } from '../../manager-client.ts';
import { table } from '../../output.ts';
import { idOf, textOf } from './fields.ts';

export function run(context: CommandContext): Promise<void> {
  return withManager(context, async (client) => {
    const enclaves = (await client.list('')).filter((actor) => actor.machine === 'enclave');
    const rows = enclaves.map((actor) => [
      idOf(actor),
      textOf(actor, 'name'),
      actor.state,
      textOf(actor, 'mode'),
      textOf(actor, 'platform'),
    ]);
    context.output.result(table([['ID', 'NAME', 'STATE', 'MODE', 'PLATFORM'], ...rows]), enclaves);
  });
}
