import { assertEvent, assign, setup } from 'xstate';
import { z } from 'zod';
import { Cause, DeadlineReached, Milliseconds, PublicKeyText } from './common.ts';
import { type ClockInput, clock, unprovided } from './effect.ts';
import { Digest } from './manifest.ts';
import { causeOf, PublicCause } from './public-cause.ts';

/** Milliseconds. */
export const AttestationLimits = z.strictObject({
  /** How long the platform may take to produce a report. */
  collectMs: z.int().min(1),
  /** How long evidence remains valid for opening a session. */
  evidenceMs: z.int().min(1),
  /** How long a participant's session may stay idle. */
  idleMs: z.int().min(1),
});
export type AttestationLimits = z.infer<typeof AttestationLimits>;

export const ATTESTATION_LIMITS: AttestationLimits = {
  collectMs: 60_000,
  evidenceMs: 600_000,
  idleMs: 3_600_000,
};

export const AttestationInput = z.strictObject({
  sessionId: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/),
  /** Hex of the verifier's 32-byte nonce. */
  nonce: z.string().regex(/^[0-9a-f]{64}$/),
  /** `ATTESTATION_LIMITS` by default. */
  limits: AttestationLimits.optional(),
  atMs: Milliseconds,
});
export type AttestationInput = z.infer<typeof AttestationInput>;

/** Role of a session. */
export const ParticipantRole = z.enum(['algorithm', 'dataset', 'consumer', 'controller']);

/** Events of one challenge and of the participant's session that may follow. The agent is the authority. */
export const AttestationEvent = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('attestation.collect') }),
  z.strictObject({ type: z.literal('evidence.collected'), evidenceDigest: Digest, atMs: Milliseconds }),
  z.strictObject({ type: z.literal('evidence.failed'), cause: PublicCause }),
  z.strictObject({
    type: z.literal('session.opened'),
    participant: PublicKeyText,
    role: ParticipantRole,
    atMs: Milliseconds,
  }),
  z.strictObject({ type: z.literal('session.used'), atMs: Milliseconds }),
  z.strictObject({ type: z.literal('session.closed') }),
  DeadlineReached,
]);
export type AttestationEvent = z.infer<typeof AttestationEvent>;

export const AttestationContext = AttestationInput.extend({
  limits: AttestationLimits,
  evidenceDigest: Digest.nullable(),
  participant: PublicKeyText.nullable(),
  role: ParticipantRole.nullable(),
  deadlineMs: Milliseconds,
  cause: Cause.nullable(),
});
export type AttestationContext = Readonly<z.infer<typeof AttestationContext>>;

export const attestationMachine = setup({
  types: {
    context: {} as AttestationContext,
    events: {} as AttestationEvent,
    input: {} as AttestationInput,
  },
  actors: {
    /** Requests a report over nonce and claims from the platform and bundles the evidence. */
    collect: unprovided<AttestationInput>('collect'),
    clock: unprovided<ClockInput>('clock'),
  },
  actions: {
    assignEvidence: assign(({ context, event }) => {
      assertEvent(event, 'evidence.collected');
      return { evidenceDigest: event.evidenceDigest, deadlineMs: event.atMs + context.limits.evidenceMs };
    }),
    assignCause: assign(({ event }) => {
      assertEvent(event, 'evidence.failed');
      return { cause: causeOf(event.cause) };
    }),
    assignSession: assign(({ context, event }) => {
      assertEvent(event, 'session.opened');
      return {
        participant: event.participant,
        role: event.role,
        deadlineMs: event.atMs + context.limits.idleMs,
      };
    }),
    extendDeadline: assign(({ context, event }) => {
      assertEvent(event, 'session.used');
      return { deadlineMs: event.atMs + context.limits.idleMs };
    }),
  },
}).createMachine({
  id: 'attestation',
  initial: 'challenged',
  context: ({ input }) => ({
    ...input,
    limits: input.limits ?? ATTESTATION_LIMITS,
    evidenceDigest: null,
    participant: null,
    role: null,
    deadlineMs: input.atMs + (input.limits ?? ATTESTATION_LIMITS).collectMs,
    cause: null,
  }),
  states: {
    challenged: {
      on: { 'attestation.collect': 'collecting' },
    },
    collecting: {
      invoke: [
        {
          src: 'collect',
          id: 'collect',
          input: ({ context }) => context,
        },
        clock,
      ],
      on: {
        'evidence.collected': { target: 'evidenced', actions: 'assignEvidence' },
        'evidence.failed': { target: 'failed', actions: 'assignCause' },
        'deadline.reached': 'expired',
      },
    },
    evidenced: {
      invoke: clock,
      on: {
        'session.opened': { target: 'inSession', actions: 'assignSession' },
        'deadline.reached': 'expired',
      },
    },
    inSession: {
      invoke: clock,
      on: {
        'session.used': { target: 'inSession', reenter: true, actions: 'extendDeadline' },
        'session.closed': 'closed',
        'deadline.reached': 'expired',
      },
    },
    closed: {},
    expired: {},
    failed: {},
  },
});
