import { type AnyActor, type AnyEventObject, createActor, type Snapshot } from 'xstate';
import { z } from 'zod';
import { AttestationEvent, AttestationInput, attestationMachine } from './attestation.machine.ts';
import { ComputationEvent } from './computation.events.ts';
import { computationMachine } from './computation.machine.ts';
import { inert } from './effect.ts';
import { TransferEvent, TransferInput, transferMachine } from './transfer.machine.ts';

// A restored actor takes its context from the snapshot; the type of createActor asks for an input all the same.
const UNUSED_ATTESTATION_INPUT: AttestationInput = { sessionId: '', nonce: '', atMs: 0 };
const UNUSED_TRANSFER_INPUT: TransferInput = {
  transferId: '',
  input: '',
  participant: '',
  size: 0,
  digest: '',
  atMs: 0,
};

const computation = computationMachine.provide({
  actors: { runAlgorithm: inert(), sealResult: inert(), clock: inert() },
});
const attestation = attestationMachine.provide({ actors: { collect: inert(), clock: inert() } });
const transfer = transferMachine.provide({ actors: { check: inert(), release: inert(), clock: inert() } });

/** One row for each machine whose authority is the agent and which the manager mirrors, with inert effects. */
interface Mirrored {
  /** Schema of the machine's events, as the journal carries them. */
  readonly event: z.ZodType<AnyEventObject>;
  /** A new actor. @throws ZodError when the input does not fit. */
  readonly start: (input: unknown) => AnyActor;
  readonly restore: (snapshot: Snapshot<unknown>) => AnyActor;
}

export const MIRRORED: Readonly<Record<MirroredKind, Mirrored>> = {
  computation: {
    event: ComputationEvent,
    start: () => createActor(computation),
    restore: (snapshot) => createActor(computation, { snapshot }),
  },
  attestation: {
    event: AttestationEvent,
    start: (input) => createActor(attestation, { input: AttestationInput.parse(input) }),
    restore: (snapshot) => createActor(attestation, { snapshot, input: UNUSED_ATTESTATION_INPUT }),
  },
  transfer: {
    event: TransferEvent,
    start: (input) => createActor(transfer, { input: TransferInput.parse(input) }),
    restore: (snapshot) => createActor(transfer, { snapshot, input: UNUSED_TRANSFER_INPUT }),
  },
};

export const MirroredKind = z.enum(['computation', 'attestation', 'transfer']);
export type MirroredKind = z.infer<typeof MirroredKind>;

/** Address of a mirrored actor inside its agent: its kind, and an id where there can be several. */
export const MirroredAddress = z
  .string()
  .max(100)
  .regex(/^(computation|(attestation|transfer)\/[A-Za-z0-9_-]+)$/);

export function kindOfAddress(address: string): MirroredKind | null {
  const kind = MirroredKind.safeParse(address.split('/', 1)[0]);
  return kind.success && MirroredAddress.safeParse(address).success ? kind.data : null;
}

/** What an authority writes into its journal for its mirror. */
export const MirrorRecord = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('started'), address: MirroredAddress, input: z.unknown() }),
  z.strictObject({ kind: z.literal('event'), address: MirroredAddress, event: z.unknown() }),
  z.strictObject({ kind: z.literal('state'), address: MirroredAddress, snapshot: z.unknown() }),
  z.strictObject({ kind: z.literal('retired'), address: MirroredAddress }),
]);
export type MirrorRecord = z.infer<typeof MirrorRecord>;

/** What XState itself sends to a machine when one of its effects throws while it starts. */
export const EffectError = z.strictObject({
  type: z.string().regex(/^xstate\.error\.actor\.[A-Za-z]{1,40}$/),
});
