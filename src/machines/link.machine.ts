import { assertEvent, assign, setup } from 'xstate';
import { z } from 'zod';
import { Milliseconds } from './common.ts';
import { unprovided } from './effect.ts';

/** Interval at which an idle side sends a ping. */
export const HEARTBEAT_MS = 2_000;
/** Three missed heartbeats mean that the peer is lost. */
export const SILENCE_LIMIT_MS = 3 * HEARTBEAT_MS;
export const BACKOFF_FIRST_MS = 100;
export const BACKOFF_LIMIT_MS = 2_000;

export const LinkRole = z.enum(['manager', 'agent']);
export type LinkRole = z.infer<typeof LinkRole>;

export const LinkEvent = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('stream.opened'), atMs: Milliseconds }),
  z.strictObject({ type: z.literal('stream.failed'), atMs: Milliseconds }),
  z.strictObject({ type: z.literal('stream.closed'), reason: z.string(), atMs: Milliseconds }),
  z.strictObject({ type: z.literal('hello.received'), bootId: z.string(), atMs: Milliseconds }),
  z.strictObject({ type: z.literal('replay.finished'), atMs: Milliseconds }),
  z.strictObject({ type: z.literal('peer.silent') }),
  z.strictObject({ type: z.literal('peer.violated'), reason: z.string() }),
  z.strictObject({ type: z.literal('backoff.ended') }),
  z.strictObject({ type: z.literal('link.close') }),
]);
export type LinkEvent = z.infer<typeof LinkEvent>;

export interface LinkContext {
  readonly role: LinkRole;
  readonly attempts: number;
  readonly peerBootId: string | null;
  readonly lostReason: string | null;
}

export interface WaitInput {
  readonly delayMs: number;
}

/** Both ends of the manager-agent link run this machine. It owns connecting, handshake, replay and loss. */
export const linkMachine = setup({
  types: {
    context: {} as LinkContext,
    events: {} as LinkEvent,
    input: {} as { role: LinkRole },
  },
  actors: {
    /** Opens the byte stream: dials, or waits for the peer's connection. */
    open: unprovided<LinkContext>('open'),
    /** Sends this side's hello and reads frames for as long as the stream is attached. */
    serve: unprovided<LinkContext>('serve'),
    /** Resends what the peer has not acknowledged, or snapshots if the journal is too short. */
    replay: unprovided<LinkContext>('replay'),
    /** Waits before the next attempt. */
    wait: unprovided<WaitInput>('wait'),
  },
  actions: {
    countAttempt: assign(({ context }) => ({ attempts: context.attempts + 1 })),
    resetAttempts: assign({ attempts: 0, lostReason: null }),
    assignPeer: assign(({ event }) => {
      assertEvent(event, 'hello.received');
      return { peerBootId: event.bootId };
    }),
    recordLoss: assign(({ event }) => {
      assertEvent(event, ['stream.closed', 'peer.violated']);
      return { lostReason: event.reason };
    }),
    recordSilence: assign({ lostReason: 'the peer fell silent' }),
  },
}).createMachine({
  id: 'link',
  initial: 'connecting',
  context: ({ input }) => ({ role: input.role, attempts: 0, peerBootId: null, lostReason: null }),
  on: { 'link.close': '.closed' },
  states: {
    connecting: {
      invoke: { src: 'open', id: 'open', input: ({ context }) => context },
      on: {
        'stream.opened': 'attached',
        'stream.failed': { target: 'lost', actions: 'countAttempt' },
      },
    },
    attached: {
      initial: 'handshake',
      invoke: { src: 'serve', id: 'serve', input: ({ context }) => context },
      on: {
        'stream.closed': { target: 'lost', actions: ['recordLoss', 'countAttempt'] },
        'peer.silent': { target: 'lost', actions: ['recordSilence', 'countAttempt'] },
        'peer.violated': { target: 'lost', actions: ['recordLoss', 'countAttempt'] },
      },
      states: {
        handshake: {
          on: { 'hello.received': { target: 'replaying', actions: 'assignPeer' } },
        },
        replaying: {
          invoke: { src: 'replay', id: 'replay', input: ({ context }) => context },
          on: { 'replay.finished': { target: 'live', actions: 'resetAttempts' } },
        },
        live: {},
      },
    },
    lost: {
      invoke: {
        src: 'wait',
        id: 'wait',
        input: ({ context }) => ({
          delayMs: Math.min(BACKOFF_FIRST_MS * 2 ** Math.min(context.attempts, 10), BACKOFF_LIMIT_MS),
        }),
      },
      on: { 'backoff.ended': 'connecting' },
    },
    closed: {},
  },
});
