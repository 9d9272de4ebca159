import { Command } from 'commander';
import { CocosError, EXIT } from '../../errors.ts';
import type { CommandContext } from '../command-context.ts';
import { table } from '../output.ts';
import { showWatch } from './show-watch.ts';

export function actorCommands(context: CommandContext): Command {
  const { output, withManager } = context;
  const actors = new Command('actors').description('every machine of a manager, by address');
  actors
    .command('list')
    .description('actors with their states')
    .argument('[prefix]', 'only at and under this address', '')
    .action((prefix: string, _: unknown, command: Command) =>
      withManager(command, async (client) => {
        const list = await client.list(prefix);
        output.result(table(list.map((actor) => [actor.address, actor.machine, actor.state])), list);
      }),
    );
  actors
    .command('show')
    .description('one actor: state, context and the events it would take')
    .argument('<address>')
    .action((address: string, _: unknown, command: Command) =>
      withManager(command, async (client) => {
        const actor = await client.get(address);
        const rows = Object.entries(actor.context).map(([key, value]) => [key, JSON.stringify(value)]);
        const head = [
          ['actor', actor.address],
          ['state', actor.state],
          ['events', actor.legalEvents.join(', ') || 'none'],
        ];
        output.result(table([...head, ...rows]), actor);
      }),
    );
  actors
    .command('watch')
    .description('transitions as they happen')
    .argument('[address]', 'everything when left out', '')
    .option('--after <sequence>', 'go on after this sequence number')
    .action((address: string, options: { readonly after?: string }, command: Command) =>
      withManager(command, async (client) => {
        const after = options.after ?? '0';
        if (!/^[0-9]{1,16}$/.test(after)) throw new CocosError('USAGE', '--after takes a sequence number.');
        if (await showWatch(output, client, address, Number(after))) context.exit(EXIT.failed);
      }),
    );
  actors
    .command('send')
    .description('send an event; one that is not legal is refused with those that are')
    .argument('<address>')
    .argument('<event>', 'type of the event, or the whole event as JSON')
    .action((address: string, event: string, _: unknown, command: Command) =>
      withManager(command, async (client) => {
        const actor = await client.send(address, parseEvent(event));
        output.result(`${actor.address}: ${actor.state}`, actor);
      }),
    );
  return actors;
}

function parseEvent(text: string): unknown {
  if (!text.startsWith('{')) return { type: text };
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CocosError('USAGE', 'The event is not JSON.', { cause });
  }
}
