import { assertEvent, assign, setup } from 'xstate';
import { z } from 'zod';
import { Cause, DeadlineReached, Milliseconds, PublicKeyText, TransferId } from './common.ts';
import { type ClockInput, clock, unprovided } from './effect.ts';
import { InputDigest, InputName } from './manifest.ts';
import { causeOf, PublicCause } from './public-cause.ts';

/** How long a transfer waits for its sender to connect or reconnect. */
export const TRANSFER_WAIT_MS = 600_000;

export const TransferInput = z.strictObject({
  transferId: TransferId,
  /** Name of the input in the manifest. */
  input: InputName,
  participant: PublicKeyText,
  size: z.int().min(0),
  digest: InputDigest,
  /** `TRANSFER_WAIT_MS` by default. */
  waitMs: z.int().min(1).optional(),
  atMs: Milliseconds,
});
export type TransferInput = z.infer<typeof TransferInput>;

/** Events of an upload. The agent is the authority; the manager mirrors it. */
export const TransferEvent = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('transfer.attached') }),
  z.strictObject({
    type: z.literal('transfer.progress'),
    segments: z.int().min(0),
    received: z.int().min(0),
  }),
  z.strictObject({ type: z.literal('transfer.broken'), atMs: Milliseconds }),
  z.strictObject({ type: z.literal('transfer.received'), received: z.int().min(0) }),
  z.strictObject({ type: z.literal('transfer.checked') }),
  z.strictObject({ type: z.literal('transfer.refused'), cause: PublicCause }),
  z.strictObject({ type: z.literal('transfer.abort') }),
  DeadlineReached,
]);
export type TransferEvent = z.infer<typeof TransferEvent>;

export const TransferContext = TransferInput.extend({
  waitMs: z.int().min(1),
  segments: z.int().min(0),
  received: z.int().min(0),
  deadlineMs: Milliseconds.nullable(),
  cause: Cause.nullable(),
});
export type TransferContext = Readonly<z.infer<typeof TransferContext>>;

export const transferMachine = setup({
  types: {
    context: {} as TransferContext,
    events: {} as TransferEvent,
    input: {} as TransferInput,
  },
  actors: {
    /** Compares the received size and digest with the declaration and the manifest. */
    check: unprovided<TransferInput>('check'),
    /** Deletes the bytes, so that the input can be sent again. */
    release: unprovided<TransferInput>('release'),
    clock: unprovided<ClockInput>('clock'),
  },
  actions: {
    assignProgress: assign(({ event }) => {
      assertEvent(event, 'transfer.progress');
      return { segments: event.segments, received: event.received };
    }),
    assignReceived: assign(({ event }) => {
      assertEvent(event, 'transfer.received');
      return { received: event.received };
    }),
    armDeadline: assign(({ context, event }) => {
      assertEvent(event, 'transfer.broken');
      return { deadlineMs: event.atMs + context.waitMs };
    }),
    disarmDeadline: assign({ deadlineMs: null }),
    assignCause: assign(({ event }) => {
      assertEvent(event, 'transfer.refused');
      return { cause: causeOf(event.cause) };
    }),
    recordAbort: assign({
      cause: causeOf({ code: 'CANCELLED' }, 'The sender aborted the transfer.'),
    }),
    recordDeadline: assign({
      cause: causeOf(
        { code: 'DEADLINE_EXCEEDED' },
        'The sender did not reconnect within the time limit; open the transfer again.',
      ),
    }),
  },
}).createMachine({
  id: 'transfer',
  initial: 'opening',
  context: ({ input }) => ({
    ...input,
    waitMs: input.waitMs ?? TRANSFER_WAIT_MS,
    segments: 0,
    received: 0,
    deadlineMs: input.atMs + (input.waitMs ?? TRANSFER_WAIT_MS),
    cause: null,
  }),
  states: {
    opening: {
      invoke: clock,
      exit: 'disarmDeadline',
      on: {
        'transfer.attached': 'receiving',
        'transfer.broken': { target: 'suspended', actions: 'armDeadline' },
        'transfer.abort': { target: 'aborted', actions: 'recordAbort' },
        'deadline.reached': { target: 'aborted', actions: 'recordDeadline' },
      },
    },
    receiving: {
      on: {
        'transfer.progress': { actions: 'assignProgress' },
        'transfer.broken': { target: 'suspended', actions: 'armDeadline' },
        'transfer.received': { target: 'checking', actions: 'assignReceived' },
        'transfer.refused': { target: 'aborted', actions: 'assignCause' },
        'transfer.abort': { target: 'aborted', actions: 'recordAbort' },
      },
    },
    suspended: {
      invoke: clock,
      exit: 'disarmDeadline',
      on: {
        'transfer.attached': 'receiving',
        'transfer.abort': { target: 'aborted', actions: 'recordAbort' },
        'deadline.reached': { target: 'aborted', actions: 'recordDeadline' },
      },
    },
    checking: {
      invoke: {
        src: 'check',
        id: 'check',
        input: ({ context }) => context,
      },
      on: {
        'transfer.checked': 'committed',
        'transfer.refused': { target: 'aborted', actions: 'assignCause' },
      },
    },
    committed: {},
    aborted: {
      invoke: { src: 'release', id: 'release', input: ({ context }) => context },
    },
  },
});
