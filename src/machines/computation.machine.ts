import { assertEvent, assign, setup } from 'xstate';
import { z } from 'zod';
import { Cause, Milliseconds, PublicKeyText } from './common.ts';
import { type ComputationEvent, RuntimeText } from './computation.events.ts';
import { type ClockInput, unprovided } from './effect.ts';
import { ALGORITHM_INPUT, Digest, InputName, Manifest } from './manifest.ts';
import { causeOf, ExitCode } from './public-cause.ts';

/** Grace period after the manifest's time limit before a run without a report counts as failed. */
const RUN_GRACE_MS = 30_000;

const InputStatus = z.strictObject({
  status: z.enum(['expected', 'receiving', 'committed']),
  size: z.int().min(0),
});
export type InputStatus = Readonly<z.infer<typeof InputStatus>>;

const RunRecord = z.strictObject({
  exitCode: ExitCode,
  runtime: RuntimeText,
  startedMs: Milliseconds,
  endedMs: Milliseconds,
});
export type RunRecord = Readonly<z.infer<typeof RunRecord>>;

/** The algorithm and the datasets of a manifest. */
const INPUT_LIMIT = 65;
const CONSUMER_LIMIT = 64;

export const ComputationContext = z.strictObject({
  manifest: Manifest.nullable(),
  manifestDigest: Digest.nullable(),
  /** By name of the input; the algorithm has a fixed name. */
  inputs: z
    .record(InputName, InputStatus)
    .refine((inputs) => Object.keys(inputs).length <= INPUT_LIMIT, 'more inputs than a manifest has'),
  runDeadlineMs: Milliseconds.nullable(),
  run: RunRecord.nullable(),
  /** Digest of the sealed bytes. */
  result: z.strictObject({ digest: Digest, size: z.int().min(0) }).nullable(),
  /** Signing keys of the consumers that confirmed their result. */
  delivered: z.array(PublicKeyText).max(CONSUMER_LIMIT),
  cause: Cause.nullable(),
});
export type ComputationContext = Readonly<z.infer<typeof ComputationContext>>;

export interface RunInput {
  readonly manifest: Manifest | null;
}

const expected: InputStatus = { status: 'expected', size: 0 };

function expectedInputs(manifest: Manifest): Record<string, InputStatus> {
  const names = [ALGORITHM_INPUT, ...manifest.datasets.map((dataset) => dataset.name)];
  return Object.fromEntries(names.map((name) => [name, expected]));
}

function withInput(context: ComputationContext, name: string, status: InputStatus) {
  return { inputs: { ...context.inputs, [name]: status } };
}

export const computationMachine = setup({
  types: {
    context: {} as ComputationContext,
    events: {} as ComputationEvent,
  },
  actors: {
    runAlgorithm: unprovided<RunInput>('runAlgorithm'),
    sealResult: unprovided<RunInput>('sealResult'),
    clock: unprovided<ClockInput>('clock'),
  },
  guards: {
    isExpected: ({ context, event }) =>
      event.type === 'input.receiving' && context.inputs[event.input]?.status === 'expected',
    isReceiving: ({ context, event }) =>
      (event.type === 'input.committed' || event.type === 'input.released') &&
      context.inputs[event.input]?.status === 'receiving',
    completesInputs: ({ context, event }) =>
      event.type === 'input.committed' &&
      context.inputs[event.input]?.status === 'receiving' &&
      Object.entries(context.inputs).every(
        ([name, input]) => name === event.input || input.status === 'committed',
      ),
    startsByItself: ({ context }) => context.manifest?.start === 'auto',
    mayStart: ({ context, event }) =>
      event.type === 'run.requested' &&
      context.manifest !== null &&
      context.manifest.start !== 'auto' &&
      context.manifest.start.includes(event.by),
    succeeded: ({ event }) => event.type === 'run.exited' && event.exitCode === 0,
    completesDelivery: ({ context, event }) =>
      event.type === 'result.delivered' &&
      (context.manifest?.consumers ?? []).every(
        (consumer) => consumer.signing === event.consumer || context.delivered.includes(consumer.signing),
      ),
    isConsumer: ({ context, event }) =>
      event.type === 'result.delivered' &&
      (context.manifest?.consumers ?? []).some((consumer) => consumer.signing === event.consumer),
  },
  actions: {
    assignManifest: assign(({ event }) => {
      assertEvent(event, 'manifest.accepted');
      return {
        manifest: event.manifest,
        manifestDigest: event.digest,
        inputs: expectedInputs(event.manifest),
      };
    }),
    markReceiving: assign(({ context, event }) => {
      assertEvent(event, 'input.receiving');
      return withInput(context, event.input, { status: 'receiving', size: 0 });
    }),
    markExpected: assign(({ context, event }) => {
      assertEvent(event, 'input.released');
      return withInput(context, event.input, expected);
    }),
    markCommitted: assign(({ context, event }) => {
      assertEvent(event, 'input.committed');
      return withInput(context, event.input, { status: 'committed', size: event.size });
    }),
    setRunDeadline: assign(({ context, event }) => {
      assertEvent(event, ['input.committed', 'run.requested']);
      return { runDeadlineMs: event.atMs + (context.manifest?.limits.seconds ?? 0) * 1000 + RUN_GRACE_MS };
    }),
    recordRun: assign(({ event }) => {
      assertEvent(event, 'run.exited');
      return {
        run: {
          exitCode: event.exitCode,
          runtime: event.runtime,
          startedMs: event.startedMs,
          endedMs: event.endedMs,
        },
      };
    }),
    recordResult: assign(({ event }) => {
      assertEvent(event, 'result.sealed');
      return { result: { digest: event.digest, size: event.size } };
    }),
    recordDelivery: assign(({ context, event }) => {
      assertEvent(event, 'result.delivered');
      return { delivered: [...new Set([...context.delivered, event.consumer])] };
    }),
    assignCause: assign(({ event }) => {
      assertEvent(event, 'run.failed');
      return { cause: causeOf(event.cause) };
    }),
    recordExit: assign(({ event }) => {
      assertEvent(event, 'run.exited');
      const cause = { code: 'ALGORITHM_FAILED', details: { exitCode: event.exitCode } } as const;
      return { cause: causeOf(cause, 'The algorithm ended with an exit code other than 0.') };
    }),
    recordDeadline: assign({
      cause: causeOf(
        { code: 'DEADLINE_EXCEEDED' },
        'The run did not end within the time limit of the manifest.',
      ),
    }),
    recordStop: assign(({ event }) => {
      assertEvent(event, 'computation.stop');
      const cause = causeOf({ code: 'CANCELLED' }, 'The computation was stopped.');
      return { cause: { ...cause, details: { by: event.by } } };
    }),
  },
}).createMachine({
  id: 'computation',
  initial: 'awaitingManifest',
  context: {
    manifest: null,
    manifestDigest: null,
    inputs: {},
    runDeadlineMs: null,
    run: null,
    result: null,
    delivered: [],
    cause: null,
  },
  states: {
    awaitingManifest: {
      on: { 'manifest.accepted': { target: 'receiving', actions: 'assignManifest' } },
    },
    receiving: {
      on: {
        'input.receiving': { guard: 'isExpected', actions: 'markReceiving' },
        'input.released': { guard: 'isReceiving', actions: 'markExpected' },
        'input.committed': [
          { guard: 'completesInputs', target: 'ready', actions: ['markCommitted', 'setRunDeadline'] },
          { guard: 'isReceiving', actions: 'markCommitted' },
        ],
        'computation.stop': { target: 'stopped', actions: 'recordStop' },
      },
    },
    ready: {
      always: { guard: 'startsByItself', target: 'running' },
      on: {
        'run.requested': { guard: 'mayStart', target: 'running', actions: 'setRunDeadline' },
        'computation.stop': { target: 'stopped', actions: 'recordStop' },
      },
    },
    running: {
      invoke: [
        {
          src: 'runAlgorithm',
          id: 'runAlgorithm',
          input: ({ context }) => ({ manifest: context.manifest }),
        },
        {
          src: 'clock',
          id: 'clock',
          input: ({ context }) => ({ deadlineMs: context.runDeadlineMs }),
        },
      ],
      on: {
        'run.exited': [
          { guard: 'succeeded', target: 'sealingResults', actions: 'recordRun' },
          { target: 'failed', actions: ['recordRun', 'recordExit'] },
        ],
        'run.failed': { target: 'failed', actions: 'assignCause' },
        'deadline.reached': { target: 'failed', actions: 'recordDeadline' },
        'computation.stop': { target: 'stopped', actions: 'recordStop' },
      },
    },
    sealingResults: {
      invoke: {
        src: 'sealResult',
        id: 'sealResult',
        input: ({ context }) => ({ manifest: context.manifest }),
      },
      on: {
        'result.sealed': { target: 'resultsReady', actions: 'recordResult' },
        'run.failed': { target: 'failed', actions: 'assignCause' },
        'computation.stop': { target: 'stopped', actions: 'recordStop' },
      },
    },
    resultsReady: {
      on: {
        'result.delivered': [
          { guard: 'completesDelivery', target: 'delivered', actions: 'recordDelivery' },
          { guard: 'isConsumer', actions: 'recordDelivery' },
        ],
        'computation.stop': { target: 'stopped', actions: 'recordStop' },
      },
    },
    delivered: {},
    failed: {},
    stopped: {},
  },
});
