import { CocosError } from '../../../errors.ts';
import type { CommandContext } from '../../command-context.ts';
import { withManager } from '../../manager-client.ts';

export function run(
  context: CommandContext,
  _options: unknown,
  address: string,
  event: string,
): Promise<void> {
  return withManager(context, async (client) => {
    const actor = await client.send(address, parseEvent(event));
    context.output.result(`${actor.address}: ${actor.state}`, actor);
  });
}

function parseEvent(text: string): unknown {
  if (!text.startsWith('{')) return { type: text };
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CocosError('USAGE', `The event '${text}' starts like JSON but is not valid JSON.`, { cause });
  }
}
