import { assign, setup } from 'xstate';
import type { Cause } from './common.ts';
import type { ComputationEvent } from './computation.events.ts';
import { type ClockInput, unprovided } from './effect.ts';
import { ALGORITHM_INPUT, type Manifest } from './manifest.ts';

/** How long after the manifest's time limit a run that does not report counts as failed. */
const RUN_GRACE_MS = 30_000;

export interface InputStatus {
  readonly status: 'expected' | 'receiving' | 'committed';
  readonly size: number;
}

export interface RunRecord {
  readonly exitCode: number;
  readonly runtime: string;
  readonly startedMs: number;
  readonly endedMs: number;
}

export interface ComputationContext {
  readonly manifest: Manifest | null;
  readonly manifestDigest: string | null;
  /** By input name: the algorithm under its fixed name, datasets under theirs. */
  readonly inputs: Readonly<Record<string, InputStatus>>;
  readonly runDeadlineMs: number | null;
  readonly run: RunRecord | null;
  readonly result: { readonly digest: string; readonly size: number } | null;
  /** Signing keys of the consumers that hold their result. */
  readonly delivered: readonly string[];
  readonly cause: Cause | null;
}

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
    takeManifest: assign(({ context, event }) =>
      event.type === 'manifest.accepted'
        ? { manifest: event.manifest, manifestDigest: event.digest, inputs: expectedInputs(event.manifest) }
        : context,
    ),
    markReceiving: assign(({ context, event }) =>
      event.type === 'input.receiving'
        ? withInput(context, event.input, { status: 'receiving', size: 0 })
        : context,
    ),
    markExpected: assign(({ context, event }) =>
      event.type === 'input.released' ? withInput(context, event.input, expected) : context,
    ),
    markCommitted: assign(({ context, event }) =>
      event.type === 'input.committed'
        ? withInput(context, event.input, { status: 'committed', size: event.size })
        : context,
    ),
    setRunDeadline: assign(({ context, event }) =>
      'atMs' in event
        ? { runDeadlineMs: event.atMs + (context.manifest?.limits.seconds ?? 0) * 1000 + RUN_GRACE_MS }
        : context,
    ),
    takeRun: assign(({ context, event }) =>
      event.type === 'run.exited'
        ? {
            run: {
              exitCode: event.exitCode,
              runtime: event.runtime,
              startedMs: event.startedMs,
              endedMs: event.endedMs,
            },
          }
        : context,
    ),
    takeResult: assign(({ context, event }) =>
      event.type === 'result.sealed' ? { result: { digest: event.digest, size: event.size } } : context,
    ),
    takeDelivery: assign(({ context, event }) =>
      event.type === 'result.delivered' && !context.delivered.includes(event.consumer)
        ? { delivered: [...context.delivered, event.consumer] }
        : context,
    ),
    takeCause: assign(({ context, event }) =>
      event.type === 'run.failed' ? { cause: event.cause } : context,
    ),
    noteExit: assign(({ context, event }) =>
      event.type === 'run.exited'
        ? {
            cause: {
              code: 'ALGORITHM_FAILED' as const,
              message: `The algorithm ended with exit code ${event.exitCode}.`,
              details: { exitCode: event.exitCode },
            },
          }
        : context,
    ),
    noteDeadline: assign({
      cause: { code: 'DEADLINE_EXCEEDED' as const, message: 'The run did not end within its time limit.' },
    }),
    noteStop: assign(({ context, event }) =>
      event.type === 'computation.stop'
        ? {
            cause: {
              code: 'CANCELLED' as const,
              message: 'The computation was stopped.',
              details: { by: event.by },
            },
          }
        : context,
    ),
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
      on: { 'manifest.accepted': { target: 'receiving', actions: 'takeManifest' } },
    },
    receiving: {
      on: {
        'input.receiving': { guard: 'isExpected', actions: 'markReceiving' },
        'input.released': { guard: 'isReceiving', actions: 'markExpected' },
        'input.committed': [
          { guard: 'completesInputs', target: 'ready', actions: ['markCommitted', 'setRunDeadline'] },
          { guard: 'isReceiving', actions: 'markCommitted' },
        ],
        'computation.stop': { target: 'stopped', actions: 'noteStop' },
      },
    },
    ready: {
      always: { guard: 'startsByItself', target: 'running' },
      on: {
        'run.requested': { guard: 'mayStart', target: 'running', actions: 'setRunDeadline' },
        'computation.stop': { target: 'stopped', actions: 'noteStop' },
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
          { guard: 'succeeded', target: 'sealingResults', actions: 'takeRun' },
          { target: 'failed', actions: ['takeRun', 'noteExit'] },
        ],
        'run.failed': { target: 'failed', actions: 'takeCause' },
        'deadline.reached': { target: 'failed', actions: 'noteDeadline' },
        'computation.stop': { target: 'stopped', actions: 'noteStop' },
      },
    },
    sealingResults: {
      invoke: {
        src: 'sealResult',
        id: 'sealResult',
        input: ({ context }) => ({ manifest: context.manifest }),
      },
      on: {
        'result.sealed': { target: 'resultsReady', actions: 'takeResult' },
        'run.failed': { target: 'failed', actions: 'takeCause' },
        'computation.stop': { target: 'stopped', actions: 'noteStop' },
      },
    },
    resultsReady: {
      on: {
        'result.delivered': [
          { guard: 'completesDelivery', target: 'delivered', actions: 'takeDelivery' },
          { guard: 'isConsumer', actions: 'takeDelivery' },
        ],
        'computation.stop': { target: 'stopped', actions: 'noteStop' },
      },
    },
    delivered: {},
    failed: {},
    stopped: {},
  },
});
