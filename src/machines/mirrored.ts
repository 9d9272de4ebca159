import type { AnyEventObject, AnyStateMachine } from 'xstate';
import { z } from 'zod';
import {
  AttestationContext,
  AttestationEvent,
  AttestationInput,
  attestationMachine,
} from './attestation.machine.ts';
import { ComputationEvent } from './computation.events.ts';
import { ComputationContext, computationMachine } from './computation.machine.ts';
import { TransferContext, TransferEvent, TransferInput, transferMachine } from './transfer.machine.ts';

/** A machine whose authority is the agent and which the manager mirrors. */
interface Mirrored {
  readonly machine: AnyStateMachine;
  /** Schema of the machine's events in the journal. */
  readonly event: z.ZodType<AnyEventObject>;
  /** Schema of the machine's input. */
  readonly input: z.ZodType;
  /** Schema of the machine's context: what a guest may claim of it, and what is restored of it. */
  readonly context: z.ZodObject;
}

export const MIRRORED: Readonly<Record<MirroredKind, Mirrored>> = {
  computation: {
    ...{ machine: computationMachine, event: ComputationEvent, input: z.null() },
    context: ComputationContext,
  },
  attestation: {
    ...{ machine: attestationMachine, event: AttestationEvent, input: AttestationInput },
    context: AttestationContext,
  },
  transfer: {
    ...{ machine: transferMachine, event: TransferEvent, input: TransferInput },
    context: TransferContext,
  },
};

export const MirroredKind = z.enum(['computation', 'attestation', 'transfer']);
export type MirroredKind = z.infer<typeof MirroredKind>;

/** Address of a mirrored actor inside its agent: its kind, plus an id if there can be several. */
export const MirroredAddress = z
  .string()
  .max(100)
  .regex(/^(computation|(attestation|transfer)\/[A-Za-z0-9_-]+)$/);

export function kindOfAddress(address: string): MirroredKind | null {
  const [kind] = address.split('/', 1);
  if (!MirroredAddress.safeParse(address).success) return null;
  return MirroredKind.options.find((each) => each === kind) ?? null;
}

/** A journal record of an authority for its mirror. */
export const MirrorRecord = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('started'), address: MirroredAddress, input: z.unknown() }),
  z.strictObject({ kind: z.literal('event'), address: MirroredAddress, event: z.unknown() }),
  z.strictObject({ kind: z.literal('state'), address: MirroredAddress, snapshot: z.unknown() }),
  z.strictObject({ kind: z.literal('retired'), address: MirroredAddress }),
]);
export type MirrorRecord = z.infer<typeof MirrorRecord>;
