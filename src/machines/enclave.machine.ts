import { assign, setup } from 'xstate';
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
  readonly relayAddress: string | null;
  readonly logFile: string | null;
  readonly pid: number | null;
  readonly accelerator: string | null;
  /** Hex of the launch measurement of what was started. */
  readonly measurement: string | null;
  /** The last step that the guest's init told of. */
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
 * The life of an enclave on its host. `alive` owns the virtual machine, its vsock device, the link and the
 * relay; however it is left, `clean` gives every one of them back before the enclave counts as ended.
 */
export const enclaveMachine = setup({
  types: {
    context: {} as EnclaveContext,
    events: {} as EnclaveEvent,
    input: {} as EnclaveInput,
  },
  actors: {
    /** Checks the host, makes the enclave's folder and opens the relay. */
    prepare: unprovided<EnclaveEffectInput>('prepare'),
    /** Starts the VM and its vsock device and reports their end. */
    launch: unprovided<EnclaveEffectInput>('launch'),
    /** Runs the link and reports when it is live and when it is lost. */
    link: unprovided<EnclaveEffectInput>('link'),
    /** Brings the manifest to the agent and asks it for its readiness. */
    handshake: unprovided<EnclaveEffectInput>('handshake'),
    /** Asks the agent to shut down, then the VM to quit, then kills it. */
    shutDown: unprovided<EnclaveEffectInput>('shutDown'),
    /** Ends what is left of the enclave's processes and removes its sockets. */
    clean: unprovided<EnclaveEffectInput>('clean'),
    clock: unprovided<ClockInput>('clock'),
  },
  actions: {
    armPrepare: assign(({ context, event }) =>
      event.type === 'enclave.prepare' ? { deadlineMs: event.atMs + context.limits.prepareMs } : context,
    ),
    takePrepared: assign(({ context, event }) =>
      event.type === 'enclave.prepared'
        ? {
            relayAddress: event.relayAddress,
            logFile: event.logFile,
            deadlineMs: event.atMs + context.limits.bootMs,
          }
        : context,
    ),
    takeStarted: assign(({ context, event }) =>
      event.type === 'vm.started'
        ? {
            pid: event.pid,
            accelerator: event.accelerator,
            measurement: event.measurement,
            deadlineMs: event.atMs + context.limits.bootMs,
          }
        : context,
    ),
    takeStep: assign(({ context, event }) =>
      event.type === 'boot.progressed' ? { bootStep: event.step } : context,
    ),
    noteBootFailure: assign(({ context, event }) =>
      event.type === 'boot.failed'
        ? {
            bootStep: event.step,
            cause: {
              code: 'VM_BOOT_FAILED' as const,
              message: `The boot failed at the step ${event.step}: ${event.reason}`,
              details: { step: event.step, reason: event.reason },
            },
          }
        : context,
    ),
    takeBoot: assign(({ context, event }) =>
      event.type === 'link.live' ? { bootId: event.bootId } : context,
    ),
    takeReady: assign(({ context, event }) =>
      event.type === 'agent.ready' ? { agentVersion: event.version, deadlineMs: null } : context,
    ),
    armStop: assign(({ context, event }) =>
      event.type === 'enclave.stop' ? { deadlineMs: event.atMs + context.limits.stopMs } : context,
    ),
    forgetProcess: assign({ pid: null, deadlineMs: null }),
    takeCause: assign(({ context, event }) =>
      event.type === 'enclave.broken' ? { cause: event.cause } : context,
    ),
    noteExit: assign(({ context, event }) =>
      event.type === 'vm.exited'
        ? {
            cause: {
              code: 'VM_EXITED' as const,
              message:
                event.signal === null && event.code === null
                  ? `The ${context.mode === 'vm' ? 'virtual machine' : 'agent process'} ended while nobody watched it.`
                  : event.signal === null
                    ? `The ${context.mode === 'vm' ? 'virtual machine' : 'agent process'} ended with exit code ${event.code}.`
                    : `The ${context.mode === 'vm' ? 'virtual machine' : 'agent process'} was ended by ${event.signal}.`,
              details: { exitCode: event.code, signal: event.signal },
            },
          }
        : context,
    ),
    notePanic: assign(({ context, event }) =>
      event.type === 'vm.panicked'
        ? {
            cause: {
              code: 'VM_PANIC' as const,
              message: 'The guest kernel panicked.',
              details: { line: event.line },
            },
          }
        : context,
    ),
    noteDeadline: assign(({ context }) => ({
      cause: {
        code: 'DEADLINE_EXCEEDED' as const,
        message:
          context.pid === null
            ? 'The enclave could not be prepared in time.'
            : 'The agent in the enclave was not ready in time.',
      },
    })),
    noteReboot: assign({
      cause: {
        code: 'VM_EXITED' as const,
        message: 'The agent in the enclave started anew and lost its state.',
      },
    }),
  },
  guards: {
    isSameBoot: ({ context, event }) => event.type === 'link.live' && event.bootId === context.bootId,
  },
}).createMachine({
  id: 'enclave',
  initial: 'requested',
  context: ({ input }) => ({
    ...input,
    limits: input.limits ?? ENCLAVE_LIMITS,
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
        'enclave.prepared': { target: 'alive', actions: 'takePrepared' },
        'enclave.broken': { target: 'failed', actions: 'takeCause' },
        'enclave.stop': 'stopped',
        'deadline.reached': { target: 'failed', actions: 'noteDeadline' },
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
        'vm.panicked': { target: 'failed', actions: 'notePanic' },
        'boot.failed': { target: 'failed', actions: 'noteBootFailure' },
        'boot.progressed': { actions: 'takeStep' },
        'enclave.broken': { target: 'failed', actions: 'takeCause' },
      },
      states: {
        launching: {
          invoke: clock,
          on: {
            'vm.started': { target: 'booting', actions: 'takeStarted' },
            'enclave.stop': { target: 'stopping', actions: 'armStop' },
            'deadline.reached': { target: '#enclave.failed', actions: 'noteDeadline' },
          },
        },
        booting: {
          invoke: clock,
          on: {
            'link.live': { target: 'connected', actions: 'takeBoot' },
            'vm.exited': { target: '#enclave.failed', actions: 'noteExit' },
            'enclave.stop': { target: 'stopping', actions: 'armStop' },
            'deadline.reached': { target: '#enclave.failed', actions: 'noteDeadline' },
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
            'agent.ready': { target: 'ready', actions: 'takeReady' },
            'link.lost': 'booting',
            'vm.exited': { target: '#enclave.failed', actions: 'noteExit' },
            'enclave.stop': { target: 'stopping', actions: 'armStop' },
            'deadline.reached': { target: '#enclave.failed', actions: 'noteDeadline' },
          },
        },
        ready: {
          on: {
            'link.lost': 'unreachable',
            'vm.exited': { target: '#enclave.failed', actions: 'noteExit' },
            'enclave.stop': { target: 'stopping', actions: 'armStop' },
          },
        },
        unreachable: {
          on: {
            'link.live': [
              { guard: 'isSameBoot', target: 'ready' },
              { target: '#enclave.failed', actions: 'noteReboot' },
            ],
            'vm.exited': { target: '#enclave.failed', actions: 'noteExit' },
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
          // What could not be given back is logged, and must not keep the enclave from its end.
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
          // What could not be given back is logged, and must not keep the enclave from its end.
          on: { 'enclave.cleaned': 'settled', 'enclave.broken': 'settled' },
        },
        settled: { entry: 'forgetProcess' },
      },
    },
  },
});
