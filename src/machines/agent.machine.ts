import { assertEvent, assign, enqueueActions, setup } from 'xstate';
import { z } from 'zod';
import { AttestationInput, attestationMachine } from './attestation.machine.ts';
import type { Cause } from './common.ts';
import { computationMachine } from './computation.machine.ts';
import { unprovided } from './effect.ts';
import { causeOf, PublicCause } from './public-cause.ts';
import { ChildFailed } from './supervision.ts';
import { TransferInput, transferMachine } from './transfer.machine.ts';

/**
 * The agent does not restart children. What a computation that threw had received cannot be trusted, so the enclave
 * ends; a participant whose session or transfer threw opens another one.
 */
const AgentChildFailed = ChildFailed.omit({ atMs: true, chance: true, reason: true });

/** The lifecycle of the agent inside the guest: root of its actor system, parent of all its other machines. */
export const AgentEvent = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('agent.measured') }),
  z.strictObject({ type: z.literal('agent.listening') }),
  z.strictObject({ type: z.literal('link.live') }),
  z.strictObject({ type: z.literal('link.lost') }),
  z.strictObject({ type: z.literal('agent.failed'), cause: PublicCause }),
  z.strictObject({ type: z.literal('attestation.requested'), address: z.string(), input: AttestationInput }),
  z.strictObject({ type: z.literal('transfer.requested'), address: z.string(), input: TransferInput }),
  z.strictObject({ type: z.literal('child.retire'), address: z.string() }),
  AgentChildFailed,
  z.strictObject({ type: z.literal('agent.shutDown') }),
]);
export type AgentEvent = z.infer<typeof AgentEvent>;

export const COMPUTATION_ADDRESS = 'computation';

export interface AgentContext {
  readonly cause: Cause | null;
}

export const agentMachine = setup({
  types: { context: {} as AgentContext, events: {} as AgentEvent },
  actors: {
    computation: computationMachine,
    attestation: attestationMachine,
    transfer: transferMachine,
    /** Detects the platform. */
    measure: unprovided<object>('measure'),
    /** Opens the participants' gRPC service. */
    listen: unprovided<object>('listen'),
    /** Holds the link to the manager open. */
    link: unprovided<object>('link'),
    /** Closes sessions, service and link, then ends the process. */
    shutDown: unprovided<object>('shutDown'),
  },
  actions: {
    spawnComputation: enqueueActions(({ enqueue }) => {
      enqueue.spawnChild('computation', { id: COMPUTATION_ADDRESS, systemId: COMPUTATION_ADDRESS });
    }),
    spawnAttestation: enqueueActions(({ enqueue, event }) => {
      assertEvent(event, 'attestation.requested');
      enqueue.spawnChild('attestation', { id: event.address, systemId: event.address, input: event.input });
    }),
    spawnTransfer: enqueueActions(({ enqueue, event }) => {
      assertEvent(event, 'transfer.requested');
      enqueue.spawnChild('transfer', { id: event.address, systemId: event.address, input: event.input });
    }),
    retireChild: enqueueActions(({ enqueue, event }) => {
      assertEvent(event, 'child.retire');
      enqueue.stopChild(event.address);
    }),
    dropChild: enqueueActions(({ enqueue, event }) => {
      assertEvent(event, 'child.failed');
      enqueue.stopChild(event.address);
    }),
    assignCause: assign(({ event }) => {
      assertEvent(event, 'agent.failed');
      return { cause: causeOf(event.cause) };
    }),
    assignFailure: assign(({ event }) => {
      assertEvent(event, 'child.failed');
      return {
        cause: {
          code: 'INTERNAL' as const,
          message: `The machine of '${event.address}' failed.`,
        },
      };
    }),
  },
  guards: {
    isComputation: ({ event }) => event.type === 'child.failed' && event.address === COMPUTATION_ADDRESS,
  },
}).createMachine({
  id: 'agent',
  initial: 'starting',
  context: { cause: null },
  entry: 'spawnComputation',
  on: {
    'child.retire': { actions: 'retireChild' },
    // A child that throws must not end its parent or its siblings; `child.failed` decides what follows.
    'xstate.error.*': {},
    'child.failed': [
      { guard: 'isComputation', target: '.shuttingDown', actions: 'assignFailure' },
      { actions: 'dropChild' },
    ],
    'agent.failed': { target: '.shuttingDown', actions: 'assignCause' },
    'agent.shutDown': '.shuttingDown',
  },
  states: {
    starting: {
      invoke: { src: 'measure', id: 'measure', input: {} },
      on: { 'agent.measured': 'measured' },
    },
    measured: {
      invoke: { src: 'listen', id: 'listen', input: {} },
      on: { 'agent.listening': 'serving' },
    },
    serving: {
      initial: 'unlinked',
      invoke: { src: 'link', id: 'link', input: {} },
      on: {
        'attestation.requested': { actions: 'spawnAttestation' },
        'transfer.requested': { actions: 'spawnTransfer' },
      },
      states: {
        unlinked: { on: { 'link.live': 'linked' } },
        linked: { on: { 'link.lost': 'unlinked' } },
      },
    },
    shuttingDown: {
      invoke: { src: 'shutDown', id: 'shutDown', input: {} },
    },
  },
});
