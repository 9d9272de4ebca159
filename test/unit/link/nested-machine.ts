import { assign, setup } from 'xstate';

/** A chart with features that the mirrored charts do not use yet: nested states, entry and exit actions. */
export const nestedMachine = setup({
  types: {
    context: {} as { readonly log: readonly string[]; readonly count: number },
    events: {} as { readonly type: string },
  },
  guards: {
    isOdd: ({ context }) => context.count % 2 === 1,
    isOver: ({ context }, limit: number) => context.count > limit,
  },
  actions: {
    note: assign({ log: ({ context }, name: string) => [...context.log, name].slice(-12) }),
    count: assign({ count: ({ context }) => (context.count + 1) % 5 }),
  },
}).createMachine({
  id: 'nested',
  context: { log: [], count: 0 },
  initial: 'idle',
  entry: { type: 'note', params: 'enter root' },
  on: {
    jump: '.work.rest.deep',
    count: { actions: 'count' },
    nothing: {},
  },
  states: {
    idle: {
      exit: { type: 'note', params: 'leave idle' },
      on: { go: 'work', again: { target: 'idle', reenter: true }, inner: { target: 'idle' } },
    },
    work: {
      initial: 'first',
      entry: { type: 'note', params: 'enter work' },
      exit: { type: 'note', params: 'leave work' },
      on: {
        back: { target: 'idle', actions: { type: 'note', params: 'back' } },
        again: { target: 'work', reenter: true },
        inner: { target: 'work' },
        outer: '.rest',
        count: [
          { guard: { type: 'isOver', params: 3 }, target: 'idle' },
          { guard: 'isOdd', target: '.rest', actions: 'count' },
          { actions: ['count', { type: 'note', params: 'counted' }] },
        ],
      },
      states: {
        first: {
          entry: { type: 'note', params: 'enter first' },
          exit: { type: 'note', params: 'leave first' },
          on: { nothing: {}, go: { target: '#nested.work.rest' } },
        },
        rest: {
          initial: 'passing',
          entry: { type: 'note', params: 'enter rest' },
          exit: { type: 'note', params: 'leave rest' },
          on: { go: { target: '#nested.work', reenter: true } },
          states: {
            passing: { always: { guard: 'isOdd', target: 'deep', actions: 'count' } },
            deep: {
              entry: { type: 'note', params: 'enter deep' },
              exit: { type: 'note', params: 'leave deep' },
              on: { back: '#nested.work.first' },
            },
          },
        },
      },
    },
  },
});
