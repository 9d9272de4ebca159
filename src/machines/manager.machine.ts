import { assertEvent, assign, enqueueActions, setup } from 'xstate';
import { z } from 'zod';
import { Cause } from './common.ts';
import { unprovided } from './effect.ts';
import { EnclaveInput } from './enclave.events.ts';
import { enclaveMachine } from './enclave.machine.ts';
import { ChildFailed, type Decision, type RestartPolicy, superviseFailure } from './supervision.ts';

/** Restart policies of the manager's children, by the prefix of their address. */
export const MANAGER_CHILDREN: Readonly<Record<'enclave' | 'service', RestartPolicy>> = {
  enclave: {
    ...{ limit: 3, windowMs: 60_000, firstDelayMs: 200, delayLimitMs: 5_000, jitter: 0.5 },
    escalation: 'failed',
  },
  service: {
    ...{ limit: 10, windowMs: 60_000, firstDelayMs: 500, delayLimitMs: 30_000, jitter: 0.5 },
    escalation: 'dropped',
  },
};

export function policyOf(address: string): RestartPolicy {
  return address.startsWith('enclave/') ? MANAGER_CHILDREN.enclave : MANAGER_CHILDREN.service;
}

/** Input of the recovery of a child that threw. */
export interface RecoverInput {
  readonly address: string;
  readonly decision: Decision;
}

/** The lifecycle of the manager: root of its actor system, parent and supervisor of every enclave. */
export const ManagerEvent = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('manager.opened') }),
  z.strictObject({ type: z.literal('manager.broken'), cause: Cause }),
  z.strictObject({ type: z.literal('enclave.requested'), address: z.string(), input: EnclaveInput }),
  z.strictObject({ type: z.literal('enclave.removed'), address: z.string() }),
  ChildFailed,
  z.strictObject({ type: z.literal('child.restored'), address: z.string(), input: EnclaveInput }),
  z.strictObject({ type: z.literal('child.settled'), address: z.string() }),
  z.strictObject({ type: z.literal('manager.stop') }),
  z.strictObject({ type: z.literal('manager.emptied') }),
  z.strictObject({ type: z.literal('manager.closed') }),
]);
export type ManagerEvent = z.infer<typeof ManagerEvent>;

export interface ManagerContext {
  readonly cause: Cause | null;
  /** Times of the recent failures of each child, in milliseconds. */
  readonly failures: Readonly<Record<string, readonly number[]>>;
}

export const managerMachine = setup({
  types: { context: {} as ManagerContext, events: {} as ManagerEvent },
  actors: {
    enclave: enclaveMachine,
    /** Opens the control service. */
    open: unprovided<object>('open'),
    /** Stops every enclave and waits for the last one to settle. */
    empty: unprovided<object>('empty'),
    /** Closes the control service and ends the process. */
    close: unprovided<object>('close'),
    /** Restores a child after its delay, or removes what remains of it. */
    recover: unprovided<RecoverInput>('recover'),
  },
  actions: {
    spawnEnclave: enqueueActions(({ enqueue, event }) => {
      assertEvent(event, 'enclave.requested');
      enqueue.spawnChild('enclave', { id: event.address, systemId: event.address, input: event.input });
    }),
    supervise: enqueueActions(({ enqueue, context, event }) => {
      assertEvent(event, 'child.failed');
      const { address } = event;
      const { decision, failures } = superviseFailure(
        policyOf(address),
        context.failures[address] ?? [],
        event,
      );
      enqueue.assign({ failures: { ...context.failures, [address]: failures } });
      enqueue.stopChild(address);
      enqueue.spawnChild('recover', { id: `recover/${address}`, input: { address, decision } });
    }),
    restoreChild: enqueueActions(({ enqueue, event }) => {
      assertEvent(event, 'child.restored');
      const { address, input } = event;
      enqueue.stopChild(`recover/${address}`);
      enqueue.spawnChild('enclave', { id: address, systemId: address, input });
    }),
    settle: enqueueActions(({ enqueue, event }) => {
      assertEvent(event, 'child.settled');
      enqueue.stopChild(`recover/${event.address}`);
    }),
    removeEnclave: enqueueActions(({ enqueue, event }) => {
      assertEvent(event, 'enclave.removed');
      enqueue.stopChild(event.address);
    }),
    assignCause: assign(({ event }) => {
      assertEvent(event, 'manager.broken');
      return { cause: event.cause };
    }),
  },
}).createMachine({
  id: 'manager',
  initial: 'starting',
  context: { cause: null, failures: {} },
  on: {
    // A child that throws must not end the manager or a sibling; `child.failed` decides what follows.
    'xstate.error.*': {},
    'child.failed': { actions: 'supervise' },
    'child.restored': { actions: 'restoreChild' },
    'child.settled': { actions: 'settle' },
    'enclave.removed': { actions: 'removeEnclave' },
  },
  states: {
    starting: {
      invoke: { src: 'open', id: 'open', input: {} },
      on: {
        'manager.opened': 'serving',
        'manager.broken': { target: 'stopped', actions: 'assignCause' },
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
      invoke: { src: 'empty', id: 'empty', input: {} },
      on: {
        'manager.emptied': 'stopped',
        'manager.broken': { target: 'stopped', actions: 'assignCause' },
      },
    },
    stopped: {
      initial: 'closing',
      states: {
        closing: {
          invoke: { src: 'close', id: 'close', input: {} },
          on: { 'manager.closed': 'closed', 'manager.broken': 'closed' },
        },
        closed: {},
      },
    },
  },
});
