import { assign, enqueueActions, setup } from 'xstate';
import { z } from 'zod';
import { AttestationInput, attestationMachine } from './attestation.machine.ts';
import { Cause } from './common.ts';
import { computationMachine } from './computation.machine.ts';
import { unprovided } from './effect.ts';
import { ChildFailed, type RestartPolicy, superviseFailure } from './supervision.ts';
import { TransferInput, transferMachine } from './transfer.machine.ts';

/**
 * Children of the agent, by what their address begins with. None is restarted: what a computation that has thrown had
 * taken in cannot be trusted, so the enclave ends by name; a session or a transfer is begun anew by its participant.
 */
export const AGENT_CHILDREN: Readonly<Record<'computation' | 'other', RestartPolicy>> = {
  computation: { ...never(), escalation: 'stops' },
  other: { ...never(), escalation: 'dropped' },
};

function never() {
  return { limit: 0, windowMs: 60_000, firstDelayMs: 0, delayLimitMs: 0, jitter: 0 } as const;
}

/** The agent's own life inside the guest: root of its actor system, parent of all its other machines. */
export const AgentEvent = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('agent.measured') }),
  z.strictObject({ type: z.literal('agent.listening') }),
  z.strictObject({ type: z.literal('link.live') }),
  z.strictObject({ type: z.literal('link.lost') }),
  z.strictObject({ type: z.literal('agent.broken'), cause: Cause }),
  z.strictObject({ type: z.literal('attestation.requested'), address: z.string(), input: AttestationInput }),
  z.strictObject({ type: z.literal('transfer.requested'), address: z.string(), input: TransferInput }),
  z.strictObject({ type: z.literal('child.retire'), address: z.string() }),
  ChildFailed,
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
    /** Makes the agent's keys and finds its platform. */
    measure: unprovided<object>('measure'),
    /** Opens the participants' gRPC service. */
    listen: unprovided<object>('listen'),
    /** Keeps the link to the manager. */
    link: unprovided<object>('link'),
    /** Closes sessions, service and link, then ends the process. */
    shutDown: unprovided<object>('shutDown'),
  },
  actions: {
    spawnComputation: enqueueActions(({ enqueue }) => {
      enqueue.spawnChild('computation', { id: COMPUTATION_ADDRESS, systemId: COMPUTATION_ADDRESS });
    }),
    spawnAttestation: enqueueActions(({ enqueue, event }) => {
      if (event.type !== 'attestation.requested') return;
      enqueue.spawnChild('attestation', { id: event.address, systemId: event.address, input: event.input });
    }),
    spawnTransfer: enqueueActions(({ enqueue, event }) => {
      if (event.type !== 'transfer.requested') return;
      enqueue.spawnChild('transfer', { id: event.address, systemId: event.address, input: event.input });
    }),
    retireChild: enqueueActions(({ enqueue, event }) => {
      if (event.type === 'child.retire') enqueue.stopChild(event.address);
    }),
    dropChild: enqueueActions(({ enqueue, event }) => {
      if (event.type === 'child.failed') enqueue.stopChild(event.address);
    }),
    takeCause: assign(({ context, event }) =>
      event.type === 'agent.broken' ? { cause: event.cause } : context,
    ),
    takeFailure: assign(({ context, event }) =>
      event.type === 'child.failed'
        ? { cause: { code: 'INTERNAL' as const, message: `${event.address} has failed: ${event.reason}` } }
        : context,
    ),
  },
  guards: {
    isFatal: ({ event }) => {
      if (event.type !== 'child.failed') return false;
      const policy =
        event.address === COMPUTATION_ADDRESS ? AGENT_CHILDREN.computation : AGENT_CHILDREN.other;
      return superviseFailure(policy, [], event).decision.kind === 'stops';
    },
  },
}).createMachine({
  id: 'agent',
  initial: 'starting',
  context: { cause: null },
  entry: 'spawnComputation',
  on: {
    'child.retire': { actions: 'retireChild' },
    // A child that throws must not end its parent or its siblings.
    'xstate.error.*': {},
    'child.failed': [
      { guard: 'isFatal', target: '.shuttingDown', actions: 'takeFailure' },
      { actions: 'dropChild' },
    ],
    'agent.broken': { target: '.shuttingDown', actions: 'takeCause' },
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
