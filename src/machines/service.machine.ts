import { assertEvent, assign, setup } from 'xstate';
import { z } from 'zod';
import { Cause, Milliseconds } from './common.ts';
import { unprovided } from './effect.ts';
import type { WaitInput } from './link.machine.ts';

/** Delay before the second attempt; it doubles with each attempt up to the limit. */
export const SERVICE_BACKOFF_FIRST_MS = 500;
export const SERVICE_BACKOFF_LIMIT_MS = 30_000;

export const ServiceEvent = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('service.start') }),
  z.strictObject({ type: z.literal('service.stop') }),
  z.strictObject({ type: z.literal('stream.opened') }),
  z.strictObject({ type: z.literal('stream.lost'), cause: Cause, atMs: Milliseconds }),
  z.strictObject({ type: z.literal('welcome.received'), serviceId: z.string() }),
  z.strictObject({ type: z.literal('replay.finished'), atMs: Milliseconds }),
  z.strictObject({ type: z.literal('backoff.ended') }),
  z.strictObject({ type: z.literal('stream.closed') }),
]);
export type ServiceEvent = z.infer<typeof ServiceEvent>;

export interface ServiceContext {
  /** Id of the service that answered last. */
  readonly serviceId: string | null;
  /** Attempts since the stream was last live. */
  readonly attempts: number;
  /** Time at which the stream became live; null if it is not. */
  readonly liveSinceMs: number | null;
  readonly lostAtMs: number | null;
  /** Why the last stream or attempt ended; null once a stream is live again. */
  readonly cause: Cause | null;
}

/**
 * The manager's stream to the computation management service. It owns connecting, the handshake, the replay of what
 * the service has not acknowledged, and back-off. Messages for the service are stored in the outbox, so a restarted
 * manager begins with a new actor.
 */
export const serviceMachine = setup({
  types: { context: {} as ServiceContext, events: {} as ServiceEvent },
  actors: {
    /** Connects to the service's address. */
    open: unprovided<object>('open'),
    /** Sends the hello, reads messages and keeps the heartbeat for as long as the stream is attached. */
    serve: unprovided<object>('serve'),
    /** Sends the content that the outbox had when the service answered the hello. */
    replay: unprovided<object>('replay'),
    /** Sends further messages of the outbox. */
    deliver: unprovided<object>('deliver'),
    /** Waits before the next attempt. */
    wait: unprovided<WaitInput>('wait'),
    /** Closes the stream gracefully. */
    close: unprovided<object>('close'),
  },
  actions: {
    assignService: assign(({ event }) => {
      assertEvent(event, 'welcome.received');
      return { serviceId: event.serviceId };
    }),
    assignLoss: assign(({ context, event }) => {
      assertEvent(event, 'stream.lost');
      return { cause: event.cause, lostAtMs: event.atMs, liveSinceMs: null, attempts: context.attempts + 1 };
    }),
    goLive: assign(({ event }) => {
      assertEvent(event, 'replay.finished');
      return { liveSinceMs: event.atMs, attempts: 0, cause: null };
    }),
    rest: assign({ attempts: 0, liveSinceMs: null, cause: null }),
  },
}).createMachine({
  id: 'service',
  initial: 'disconnected',
  context: { serviceId: null, attempts: 0, liveSinceMs: null, lostAtMs: null, cause: null },
  states: {
    disconnected: { on: { 'service.start': 'connecting' } },
    connecting: {
      invoke: {
        src: 'open',
        id: 'open',
        input: {},
      },
      on: {
        'stream.opened': 'attached',
        'stream.lost': { target: 'backingOff', actions: 'assignLoss' },
        'service.stop': 'closing',
      },
    },
    attached: {
      initial: 'handshake',
      invoke: {
        src: 'serve',
        id: 'serve',
        input: {},
      },
      on: {
        'stream.lost': { target: 'backingOff', actions: 'assignLoss' },
        'service.stop': 'closing',
      },
      states: {
        handshake: { on: { 'welcome.received': { target: 'replaying', actions: 'assignService' } } },
        replaying: {
          invoke: {
            src: 'replay',
            id: 'replay',
            input: {},
          },
          on: { 'replay.finished': { target: 'live', actions: 'goLive' } },
        },
        live: {
          invoke: {
            src: 'deliver',
            id: 'deliver',
            input: {},
          },
        },
      },
    },
    backingOff: {
      invoke: {
        src: 'wait',
        id: 'wait',
        input: ({ context }) => ({
          delayMs: Math.min(
            SERVICE_BACKOFF_FIRST_MS * 2 ** Math.min(Math.max(context.attempts - 1, 0), 10),
            SERVICE_BACKOFF_LIMIT_MS,
          ),
        }),
      },
      on: { 'backoff.ended': 'connecting', 'service.stop': 'closing' },
    },
    closing: {
      invoke: { src: 'close', id: 'close', input: {} },
      on: { 'stream.closed': { target: 'disconnected', actions: 'rest' } },
    },
  },
});
