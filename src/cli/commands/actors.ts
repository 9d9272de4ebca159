import { argument, type CommandGroup, option } from '../command-row.ts';

export const ACTORS: CommandGroup = {
  name: 'actors',
  description: 'inspect and drive every state machine of a manager, by address',
  commands: [
    {
      name: 'list',
      description: 'list actors with their states',
      parameters: [argument('[prefix]', 'only actors at or below this address').default('', 'all actors')],
      load: () => import('./actors/list.ts'),
    },
    {
      name: 'show',
      description: 'show the state, the context and the legal events of an actor',
      parameters: [argument('<address>')],
      load: () => import('./actors/show.ts'),
    },
    {
      name: 'watch',
      description: 'print state transitions as they happen',
      parameters: [
        argument('[address]', 'address or prefix').default('', 'all actors'),
        option('--after <sequence>', 'resume after this sequence number'),
      ],
      load: () => import('./actors/watch.ts'),
    },
    {
      name: 'send',
      description: 'send an event to an actor; an illegal one is refused with the list of legal events',
      parameters: [
        argument('<address>'),
        argument('<event>', 'type of the event, or the whole event as JSON'),
      ],
      load: () => import('./actors/send.ts'),
    },
  ],
};
