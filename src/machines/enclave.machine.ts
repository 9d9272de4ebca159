import { assertEvent, assign, setup } from 'xstate';
import type { Cause } from './common.ts';
import { type ClockInput, clock, unprovided } from './effect.ts';
import {
  ENCLAVE_LIMITS,
  type EnclaveEvent,
  type EnclaveInput,
  type EnclaveLimits,
} from './enclave.events.ts';

export interface EnclaveContext extends EnclaveInput {
  readonly limits: EnclaveLimits;
  /** Id of the manifest that the manager created the enclave with or delivers to it; no guest can change it. */
  readonly computationId: string | null;
  readonly relayAddress: string | null;
  readonly logFile: string | null;
  readonly pid: number | null;
  readonly accelerator: string | null;
  /** Hex of the guest's launch measurement. */
  readonly measurement: string | null;
  /** The last boot step that the guest's init reported. */
  readonly bootStep: string | null;
  readonly bootId: string | null;
  readonly agentVersion: string | null;
  readonly deadlineMs: number | null;
  readonly cause: Cause | null;
}

export interface EnclaveEffectInput {
  readonly id: string;
  readonly enclave: EnclaveContext;
}

const effectInput = ({ context }: { context: EnclaveContext }): EnclaveEffectInput => ({
  id: context.id,
  enclave: context,
});

/**
 * The lifecycle of an enclave on its host. `alive` owns the virtual machine, its vsock device, the link and the relay.
 * Whatever event leaves it, `clean` releases all of them before the enclave counts as ended.
 */
export const enclaveMachine = setup({
  types: {
    context: {} as EnclaveContext,
    events: {} as EnclaveEvent,
    input: {} as EnclaveInput,
  },
  actors: {
    /** Checks the host, creates the enclave's folder and opens the relay. */
    prepare: unprovided<EnclaveEffectInput>('prepare'),
    /** Starts the virtual machine and its vsock device and reports their exit. */
    launch: unprovided<EnclaveEffectInput>('launch'),
    /** Runs the link and reports when it is live and when it is lost. */
    link: unprovided<EnclaveEffectInput>('link'),
    /** Delivers the manifest to the agent and waits until the agent is ready. */
    handshake: unprovided<EnclaveEffectInput>('handshake'),
    /** Requests a shutdown of the agent, then of the virtual machine, then kills it. */
    shutDown: unprovided<EnclaveEffectInput>('shutDown'),
    /** Kills the remaining processes of the enclave and removes its sockets. */
    clean: unprovided<EnclaveEffectInput>('clean'),
    clock: unprovided<ClockInput>('clock'),
  },
  actions: {
    armPrepare: assign(({ context, event }) => {
      assertEvent(event, 'enclave.prepare');
      return { deadlineMs: event.atMs + context.limits.prepareMs };
    }),
    assignPrepared: assign(({ context, event }) => {
      assertEvent(event, 'enclave.prepared');
      return {
        relayAddress: event.relayAddress,
        logFile: event.logFile,
        deadlineMs: event.atMs + context.limits.bootMs,
      };
    }),
    assignStarted: assign(({ context, event }) => {
      assertEvent(event, 'vm.started');
      return {
        pid: event.pid,
        accelerator: event.accelerator,
        measurement: event.measurement,
        deadlineMs: event.atMs + context.limits.bootMs,
      };
    }),
    assignStep: assign(({ event }) => {
      assertEvent(event, 'boot.progressed');
      return { bootStep: event.step };
    }),
    recordBootFailure: assign(({ event }) => {
      assertEvent(event, 'boot.failed');
      return {
        bootStep: event.step,
        cause: {
          code: 'VM_BOOT_FAILED' as const,
          message: `The guest failed to boot at the step '${event.step}': ${event.reason}`,
          details: { step: event.step, reason: event.reason },
        },
      };
    }),
    assignBoot: assign(({ event }) => {
      assertEvent(event, 'link.live');
      return { bootId: event.bootId };
    }),
    assignReady: assign(({ event }) => {
      assertEvent(event, 'agent.ready');
      return { agentVersion: event.version, deadlineMs: null };
    }),
    assignComputation: assign(({ event }) => {
      assertEvent(event, 'computation.assigned');
      return { computationId: event.computationId };
    }),
    releaseComputation: assign({ computationId: null }),
    armStop: assign(({ context, event }) => {
      assertEvent(event, 'enclave.stop');
      return { deadlineMs: event.atMs + context.limits.stopMs };
    }),
    forgetProcess: assign({ pid: null, deadlineMs: null }),
    assignCause: assign(({ event }) => {
      assertEvent(event, 'enclave.broken');
      return { cause: event.cause };
    }),
    recordExit: assign(({ context, event }) => {
      assertEvent(event, 'vm.exited');
      return {
        cause: {
          code: 'VM_EXITED' as const,
          message:
            event.signal === null && event.code === null
              ? `The ${context.mode === 'vm' ? 'virtual machine' : 'agent process'} ended while the manager was not running.`
              : event.signal === null
                ? `The ${context.mode === 'vm' ? 'virtual machine' : 'agent process'} ended with exit code ${event.code}.`
                : `The ${context.mode === 'vm' ? 'virtual machine' : 'agent process'} was killed by ${event.signal}.`,
          details: { exitCode: event.code, signal: event.signal },
        },
      };
    }),
    recordPanic: assign(({ event }) => {
      assertEvent(event, 'vm.panicked');
      return {
        cause: {
          code: 'VM_PANIC' as const,
          message: 'The guest kernel panicked.',
          details: { line: event.line },
        },
      };
    }),
    recordDeadline: assign(({ context }) => ({
      cause: {
        code: 'DEADLINE_EXCEEDED' as const,
        message:
          context.pid === null
            ? 'The preparation of the enclave exceeded its time limit.'
            : 'The agent was not ready within the boot time limit; see the log of the guest.',
      },
    })),
    recordReboot: assign({
      cause: {
        code: 'VM_EXITED' as const,
        message: 'The agent in the enclave restarted and lost its state.',
      },
    }),
  },
  guards: {
    hasNoComputation: ({ context }) => context.computationId === null,
    hasNoManifest: ({ context }) => context.manifest === null,
    isSameBoot: ({ context, event }) => event.type === 'link.live' && event.bootId === context.bootId,
  },
}).createMachine({
  id: 'enclave',
  initial: 'requested',
  context: ({ input }) => ({
    ...input,
    limits: input.limits ?? ENCLAVE_LIMITS,
    computationId: input.manifest?.id ?? null,
    relayAddress: null,
    logFile: null,
    pid: null,
    accelerator: null,
    measurement: null,
    bootStep: null,
    bootId: null,
    agentVersion: null,
    deadlineMs: null,
    cause: null,
  }),
  states: {
    requested: {
      on: {
        'enclave.prepare': { target: 'preparing', actions: 'armPrepare' },
        'enclave.stop': 'stopped',
      },
    },
    preparing: {
      invoke: [
        {
          src: 'prepare',
          id: 'prepare',
          input: effectInput,
        },
        clock,
      ],
      on: {
        'enclave.prepared': { target: 'alive', actions: 'assignPrepared' },
        'enclave.broken': { target: 'failed', actions: 'assignCause' },
        'enclave.stop': 'stopped',
        'deadline.reached': { target: 'failed', actions: 'recordDeadline' },
      },
    },
    alive: {
      initial: 'launching',
      invoke: [
        {
          src: 'launch',
          id: 'launch',
          input: effectInput,
        },
        {
          src: 'link',
          id: 'link',
          input: effectInput,
        },
      ],
      on: {
        'vm.panicked': { target: 'failed', actions: 'recordPanic' },
        'boot.failed': { target: 'failed', actions: 'recordBootFailure' },
        'boot.progressed': { actions: 'assignStep' },
        'computation.assigned': { guard: 'hasNoComputation', actions: 'assignComputation' },
        'computation.released': { guard: 'hasNoManifest', actions: 'releaseComputation' },
        'enclave.broken': { target: 'failed', actions: 'assignCause' },
      },
      states: {
        launching: {
          invoke: clock,
          on: {
            'vm.started': { target: 'booting', actions: 'assignStarted' },
            'enclave.stop': { target: 'stopping', actions: 'armStop' },
            'deadline.reached': { target: '#enclave.failed', actions: 'recordDeadline' },
          },
        },
        booting: {
          invoke: clock,
          on: {
            'link.live': { target: 'connected', actions: 'assignBoot' },
            'vm.exited': { target: '#enclave.failed', actions: 'recordExit' },
            'enclave.stop': { target: 'stopping', actions: 'armStop' },
            'deadline.reached': { target: '#enclave.failed', actions: 'recordDeadline' },
          },
        },
        connected: {
          invoke: [
            {
              src: 'handshake',
              id: 'handshake',
              input: effectInput,
            },
            clock,
          ],
          on: {
            'agent.ready': { target: 'ready', actions: 'assignReady' },
            'link.lost': 'booting',
            'vm.exited': { target: '#enclave.failed', actions: 'recordExit' },
            'enclave.stop': { target: 'stopping', actions: 'armStop' },
            'deadline.reached': { target: '#enclave.failed', actions: 'recordDeadline' },
          },
        },
        ready: {
          on: {
            'link.lost': 'unreachable',
            'vm.exited': { target: '#enclave.failed', actions: 'recordExit' },
            'enclave.stop': { target: 'stopping', actions: 'armStop' },
          },
        },
        unreachable: {
          on: {
            'link.live': [
              { guard: 'isSameBoot', target: 'ready' },
              { target: '#enclave.failed', actions: 'recordReboot' },
            ],
            'vm.exited': { target: '#enclave.failed', actions: 'recordExit' },
            'enclave.stop': { target: 'stopping', actions: 'armStop' },
          },
        },
        stopping: {
          invoke: [
            {
              src: 'shutDown',
              id: 'shutDown',
              input: effectInput,
            },
            clock,
          ],
          on: {
            'vm.exited': '#enclave.stopped',
            'vm.panicked': '#enclave.stopped',
            'boot.failed': '#enclave.stopped',
            'enclave.broken': '#enclave.stopped',
            'deadline.reached': '#enclave.stopped',
          },
        },
      },
    },
    stopped: {
      initial: 'cleaning',
      states: {
        cleaning: {
          invoke: { src: 'clean', id: 'clean', input: effectInput },
          // A resource that cannot be released is logged and does not keep the enclave from ending.
          on: { 'enclave.cleaned': 'settled', 'enclave.broken': 'settled' },
        },
        settled: { entry: 'forgetProcess' },
      },
    },
    failed: {
      initial: 'cleaning',
      states: {
        cleaning: {
          invoke: { src: 'clean', id: 'clean', input: effectInput },
          // A resource that cannot be released is logged and does not keep the enclave from ending.
          on: { 'enclave.cleaned': 'settled', 'enclave.broken': 'settled' },
        },
        settled: { entry: 'forgetProcess' },
      },
    },
  },
});
