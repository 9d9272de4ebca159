import { z } from 'zod';
import { Cause, DeadlineReached, Milliseconds } from './common.ts';
import { ComputationId, Manifest } from './manifest.ts';

/** How an enclave runs: a virtual machine, or a child process for machines without QEMU. */
export const EnclaveMode = z.enum(['vm', 'process']);
export type EnclaveMode = z.infer<typeof EnclaveMode>;

/** The hardware that protects an enclave from its host; `emulated` for none. */
export const TeePlatform = z.enum(['sev-snp', 'tdx', 'emulated']);
export type TeePlatform = z.infer<typeof TeePlatform>;

/** Time limits of an enclave, in milliseconds. */
export const EnclaveLimits = z.strictObject({
  prepareMs: z.int().min(1),
  /** From the start of the guest to a ready agent. */
  bootMs: z.int().min(1),
  stopMs: z.int().min(1),
});
export type EnclaveLimits = z.infer<typeof EnclaveLimits>;

/** Generous, since software emulation boots slowly on a loaded machine. */
export const ENCLAVE_LIMITS: EnclaveLimits = { prepareMs: 60_000, bootMs: 120_000, stopMs: 20_000 };

export const EnclaveInput = z.strictObject({
  id: z.string().regex(/^[a-z0-9]{4,16}$/),
  name: z
    .string()
    .regex(
      /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
      'up to 63 letters, digits, dots, underscores and hyphens, beginning with a letter or digit',
    ),
  mode: EnclaveMode,
  /** Enclaves of earlier versions have none stored. */
  platform: TeePlatform.default('emulated'),
  vcpus: z.int().min(1).max(64),
  memoryMiB: z.int().min(192).max(1_048_576),
  /** Folder of the guest image; null in process mode. */
  imageDir: z.string().nullable(),
  manifest: Manifest.nullable(),
  manifestDigest: z.string().nullable(),
  /** `ENCLAVE_LIMITS` by default. */
  limits: EnclaveLimits.optional(),
  atMs: Milliseconds,
});
export type EnclaveInput = z.infer<typeof EnclaveInput>;

/** Name of a step of the guest's boot. */
export const BootStep = z.string().regex(/^[a-z][a-z-]{0,31}$/);

/** Events of an enclave. The manager is the authority. */
export const EnclaveEvent = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('enclave.prepare'), atMs: Milliseconds }),
  z.strictObject({
    type: z.literal('enclave.prepared'),
    relayAddress: z.string(),
    /** File that receives the guest's console output. */
    logFile: z.string(),
    atMs: Milliseconds,
  }),
  z.strictObject({
    type: z.literal('vm.started'),
    pid: z.int().min(1),
    accelerator: z.string(),
    measurement: z.string(),
    atMs: Milliseconds,
  }),
  z.strictObject({ type: z.literal('vm.exited'), code: z.int().nullable(), signal: z.string().nullable() }),
  z.strictObject({ type: z.literal('vm.panicked'), line: z.string() }),
  /** The guest's init reached a step. The host reads this from the console, so it proves nothing. */
  z.strictObject({ type: z.literal('boot.progressed'), step: BootStep }),
  z.strictObject({ type: z.literal('boot.failed'), step: BootStep, reason: z.string().max(300) }),
  z.strictObject({ type: z.literal('link.live'), bootId: z.string() }),
  z.strictObject({ type: z.literal('link.lost'), atMs: Milliseconds }),
  z.strictObject({ type: z.literal('agent.ready'), version: z.string() }),
  /** The manager is about to deliver a manifest of this computation to an enclave that was created without one. */
  z.strictObject({
    type: z.literal('computation.assigned'),
    computationId: ComputationId,
    atMs: Milliseconds,
  }),
  /** The agent has refused that manifest. */
  z.strictObject({ type: z.literal('computation.released'), atMs: Milliseconds }),
  z.strictObject({ type: z.literal('enclave.broken'), cause: Cause }),
  z.strictObject({ type: z.literal('enclave.stop'), atMs: Milliseconds }),
  z.strictObject({ type: z.literal('enclave.cleaned') }),
  DeadlineReached,
]);
export type EnclaveEvent = z.infer<typeof EnclaveEvent>;

/** Events that a client of the control API may send to an enclave. */
export const ENCLAVE_PUBLIC_EVENTS = ['enclave.stop'] as const;
