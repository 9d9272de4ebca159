import { assign, enqueueActions, setup } from 'xstate';
import { z } from 'zod';
import { Cause } from './common.ts';
import { unprovided } from './effect.ts';
import { EnclaveInput } from './enclave.events.ts';
import { enclaveMachine } from './enclave.machine.ts';

/** The manager's own life: root of its actor system, parent and supervisor of every enclave. */
export const ManagerEvent = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('manager.opened') }),
  z.strictObject({ type: z.literal('manager.broken'), cause: Cause }),
  z.strictObject({ type: z.literal('enclave.requested'), address: z.string(), input: EnclaveInput }),
  z.strictObject({ type: z.literal('enclave.removed'), address: z.string() }),
  z.strictObject({ type: z.literal('manager.stop') }),
  z.strictObject({ type: z.literal('manager.emptied') }),
  z.strictObject({ type: z.literal('manager.closed') }),
]);
export type ManagerEvent = z.infer<typeof ManagerEvent>;

export interface ManagerContext {
  readonly cause: Cause | null;
}

export const managerMachine = setup({
  types: { context: {} as ManagerContext, events: {} as ManagerEvent },
  actors: {
    enclave: enclaveMachine,
    /** Opens the control service. */
    open: unprovided<object>('open'),
    /** Stops every enclave and waits until the last has settled. */
    empty: unprovided<object>('empty'),
    /** Closes the control service and ends the process. */
    close: unprovided<object>('close'),
  },
  actions: {
    spawnEnclave: enqueueActions(({ enqueue, event }) => {
      if (event.type !== 'enclave.requested') return;
      enqueue.spawnChild('enclave', { id: event.address, systemId: event.address, input: event.input });
    }),
    removeEnclave: enqueueActions(({ enqueue, event }) => {
      if (event.type === 'enclave.removed') enqueue.stopChild(event.address);
    }),
    takeCause: assign(({ context, event }) =>
      event.type === 'manager.broken' ? { cause: event.cause } : context,
    ),
  },
}).createMachine({
  id: 'manager',
  initial: 'starting',
  context: { cause: null },
  on: {
    // An enclave that throws must not end the manager or another enclave.
    'xstate.error.*': {},
    'enclave.removed': { actions: 'removeEnclave' },
  },
  states: {
    starting: {
      invoke: { src: 'open', id: 'open', input: {}, onError: 'stopped' },
      on: {
        'manager.opened': 'serving',
        'manager.broken': { target: 'stopped', actions: 'takeCause' },
        'manager.stop': 'stopped',
      },
    },
    serving: {
      on: {
        'enclave.requested': { actions: 'spawnEnclave' },
        'manager.stop': 'stopping',
      },
    },
    stopping: {
      invoke: { src: 'empty', id: 'empty', input: {}, onError: 'stopped' },
      on: {
        'manager.emptied': 'stopped',
        'manager.broken': { target: 'stopped', actions: 'takeCause' },
      },
    },
    stopped: {
      initial: 'closing',
      states: {
        closing: {
          invoke: { src: 'close', id: 'close', input: {}, onError: 'closed' },
          on: { 'manager.closed': 'closed', 'manager.broken': 'closed' },
        },
        closed: {},
      },
    },
  },
});
