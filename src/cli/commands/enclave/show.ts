import type { CommandContext } from '../../command-context.ts';
import { withManager } from '../../manager-client.ts';
import { table } from '../../output.ts';
import { describe } from './describe.ts';

export function run(context: CommandContext, _options: unknown, name: string): Promise<void> {
  return withManager(context, async (client) => {
    const { actor: enclave, participants } = await client.find(name);
    const inside = (await client.list(enclave.address)).filter((actor) => actor.address !== enclave.address);
    const rows = inside.map((actor) => [actor.address.slice(enclave.address.length + 1), actor.state]);
    const shown = [
      ...describe(enclave),
      `participants  ${participants ?? 'only this machine can connect (COCOSAI_PARTICIPANTS is not set)'}`,
    ];
    const text = rows.length === 0 ? shown : [...shown, '', ...table(rows)];
    context.output.result(text, { ...enclave, participants, inside });
  });
}
