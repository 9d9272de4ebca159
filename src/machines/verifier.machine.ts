import { assertEvent, assign, setup } from 'xstate';
import { z } from 'zod';
import { Cause, DeadlineReached, Milliseconds } from './common.ts';
import { type ClockInput, clock, unprovided } from './effect.ts';

/** Default lifetime of a verdict. The enclave must then be challenged again. */
export const VERDICT_LIFETIME_MS = 600_000;

/** Events of a relying party's verification of an enclave. The machine runs in the command line. */
export const VerifierEvent = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('verifier.challenge') }),
  z.strictObject({ type: z.literal('evidence.received'), evidenceDigest: z.string() }),
  z.strictObject({ type: z.literal('evidence.missing'), cause: Cause }),
  z.strictObject({
    type: z.literal('verdict.reached'),
    accepted: z.boolean(),
    failures: z.array(z.string()),
    atMs: Milliseconds,
  }),
  DeadlineReached,
]);
export type VerifierEvent = z.infer<typeof VerifierEvent>;

export interface VerifierInput {
  /** Lifetime of a verdict in milliseconds. */
  readonly lifetimeMs: number;
}

export interface VerifierContext extends VerifierInput {
  readonly evidenceDigest: string | null;
  readonly failures: readonly string[];
  readonly cause: Cause | null;
  readonly deadlineMs: number | null;
}

export const verifierMachine = setup({
  types: { context: {} as VerifierContext, events: {} as VerifierEvent, input: {} as VerifierInput },
  actors: {
    /** Sends a fresh nonce to the agent and waits for its evidence. */
    challenge: unprovided<VerifierContext>('challenge'),
    /** Appraises the evidence against policy and reference values. */
    appraise: unprovided<VerifierContext>('appraise'),
    clock: unprovided<ClockInput>('clock'),
  },
  guards: {
    isAccepted: ({ event }) => event.type === 'verdict.reached' && event.accepted,
  },
  actions: {
    /** A new challenge discards the outcome of the previous one. */
    forget: assign({ evidenceDigest: null, failures: [], cause: null, deadlineMs: null }),
    assignEvidence: assign(({ event }) => {
      assertEvent(event, 'evidence.received');
      return { evidenceDigest: event.evidenceDigest };
    }),
    assignCause: assign(({ event }) => {
      assertEvent(event, 'evidence.missing');
      return { cause: event.cause };
    }),
    assignVerdict: assign(({ context, event }) => {
      assertEvent(event, 'verdict.reached');
      return { failures: event.failures, deadlineMs: event.atMs + context.lifetimeMs };
    }),
  },
}).createMachine({
  id: 'verifier',
  initial: 'idle',
  context: ({ input }) => ({ ...input, evidenceDigest: null, failures: [], cause: null, deadlineMs: null }),
  states: {
    idle: { on: { 'verifier.challenge': { target: 'challenging', actions: 'forget' } } },
    challenging: {
      invoke: {
        src: 'challenge',
        id: 'challenge',
        input: ({ context }) => context,
      },
      on: {
        'evidence.received': { target: 'appraising', actions: 'assignEvidence' },
        'evidence.missing': { target: 'unanswered', actions: 'assignCause' },
      },
    },
    appraising: {
      invoke: {
        src: 'appraise',
        id: 'appraise',
        input: ({ context }) => context,
      },
      on: {
        'verdict.reached': [
          { guard: 'isAccepted', target: 'trusted', actions: 'assignVerdict' },
          { target: 'rejected', actions: 'assignVerdict' },
        ],
      },
    },
    trusted: {
      invoke: clock,
      on: { 'deadline.reached': 'stale' },
    },
    stale: { on: { 'verifier.challenge': { target: 'challenging', actions: 'forget' } } },
    rejected: {},
    unanswered: { on: { 'verifier.challenge': { target: 'challenging', actions: 'forget' } } },
  },
});
