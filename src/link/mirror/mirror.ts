import type { AnyEventObject } from 'xstate';
import { z } from 'zod';
import { CocosError } from '../../errors.ts';
import { kindOfAddress, MIRRORED, type MirroredKind, MirrorRecord } from '../../machines/mirrored.ts';
import { stateName } from '../../machines/state-name.ts';
import { systemClock } from '../../runtime/clock.ts';
import { CompiledMachine, type MachineState } from './compiled-machine.ts';
import { type Parse, plainParser } from './schema-compiler.ts';
import { weightChange, weightOf } from './weight.ts';

/** Maximum number of mirrored actors of one agent. */
const MIRROR_LIMIT = 10_000;

/** Bytes of memory that the mirrors of one agent may hold. */
export interface MirrorLimits {
  /** Of one mirror. */
  readonly recordBytes: number;
  /** Of all of them together. */
  readonly bytes: number;
}

export const MIRROR_LIMITS: MirrorLimits = { recordBytes: 2 * 2 ** 20, bytes: 16 * 2 ** 20 };

/** The relevant members of a snapshot. The mirrored charts have no final states and no history. */
const PersistedSnapshot = z.object({
  status: z.literal('active'),
  value: z.union([z.string(), z.record(z.string(), z.unknown())]),
  context: z.record(z.string(), z.unknown()),
});

/** Event name of a mirror that was restored from the store. */
export const RESTORED = 'restored';
/** In the place of an event: the agent has sent the whole state, which is not stored yet. */
const REPLACED = 'state.received';

/** A step of one actor, the same from the machine that made it to the client that is shown it. */
export interface Transition {
  readonly address: string;
  readonly event: string;
  /** Name of the state that it left; empty for an actor that begins. */
  readonly from: string;
  readonly to: string;
  readonly after: MachineState;
  readonly atMs: number;
}

/** A mirrored kind of machine, compiled for thousands of events per second. */
interface Compiled {
  readonly machine: CompiledMachine;
  readonly event: Parse<AnyEventObject>;
  readonly input: z.ZodType;
  readonly context: z.ZodType<MachineState['context']>;
}

const COMPILED: Readonly<Record<MirroredKind, Compiled>> = {
  computation: compile('computation'),
  attestation: compile('attestation'),
  transfer: compile('transfer'),
};

const parseRecord = plainParser(MirrorRecord);

interface Mirror {
  /** With the prefix. */
  readonly address: string;
  readonly kind: MirroredKind;
  state: MachineState;
  /** Bytes that it is charged with. */
  weight: number;
}

/**
 * The agent's machines as the manager sees them: the same statecharts, compiled, and driven by the agent's journal.
 * All input is a claim of an untrusted guest. It can move only its own mirrors, and only as the statecharts allow.
 */
export class MirrorSet {
  private readonly mirrors = new Map<string, Mirror>();
  private readonly onTransition: (transition: Transition) => void;
  private readonly prefix: string;
  private readonly limits: MirrorLimits;
  private weight = 0;

  /** `prefix` comes before every address in what `onTransition` is given. */
  constructor(
    onTransition: (transition: Transition) => void,
    prefix = '',
    limits: MirrorLimits = MIRROR_LIMITS,
  ) {
    this.onTransition = onTransition;
    this.prefix = prefix;
    this.limits = limits;
  }

  /**
   * Applies a record of the agent's journal.
   *
   * @returns the address of the mirror that the record has ended; null for every other record.
   * @throws CocosError LINK_PROTOCOL for a record that is malformed or does not fit the statechart, LIMIT_EXCEEDED
   * for one actor or one byte more than an agent may have. Nothing has moved then.
   */
  apply(body: unknown): string | null {
    const record = parseRecord(body);
    if (record === null) throw new CocosError('LINK_PROTOCOL', 'A journal record is malformed.');
    switch (record.kind) {
      case 'started':
        this.start(record.address, record.input);
        return null;
      case 'state':
        this.restore(record.address, record.snapshot, REPLACED);
        return null;
      case 'event':
        this.move(record.address, record.event);
        return null;
      case 'retired':
        this.weight -= this.mirrors.get(record.address)?.weight ?? 0;
        this.mirrors.delete(record.address);
        return record.address;
    }
  }

  /**
   * Takes up a mirror as it was stored.
   *
   * @throws CocosError LINK_PROTOCOL when it does not fit its statechart, LIMIT_EXCEEDED
   */
  restoreMirror(address: string, value: unknown, context: unknown): void {
    this.restore(address, { status: 'active', value, context }, RESTORED);
  }

  clear(): void {
    this.mirrors.clear();
    this.weight = 0;
  }

  get(address: string): MachineState | null {
    return this.mirrors.get(address)?.state ?? null;
  }

  addresses(): string[] {
    return [...this.mirrors.keys()];
  }

  private start(address: string, body: unknown): void {
    const kind = kindOf(address);
    const input = COMPILED[kind].input.safeParse(body);
    if (!input.success) throw new CocosError('LINK_PROTOCOL', `The input of ${address} is malformed.`);
    this.adopt(address, kind, COMPILED[kind].machine.start(input.data), 'started');
  }

  private restore(address: string, snapshot: unknown, event: string): void {
    const kind = kindOf(address);
    const parsed = PersistedSnapshot.safeParse(snapshot);
    if (!parsed.success) throw new CocosError('LINK_PROTOCOL', `The snapshot of ${address} is malformed.`);
    const context = COMPILED[kind].context.safeParse(parsed.data.context);
    if (!context.success)
      throw new CocosError('LINK_PROTOCOL', `The context of ${address} is not one of its chart.`);
    const state = COMPILED[kind].machine.restore(parsed.data.value, context.data);
    if (state === null)
      throw new CocosError('LINK_PROTOCOL', `The state of ${address} is not one of its chart.`);
    this.adopt(address, kind, state, event);
  }

  private adopt(address: string, kind: MirroredKind, state: MachineState, event: string): void {
    if (!this.mirrors.has(address) && this.mirrors.size >= MIRROR_LIMIT) {
      throw new CocosError('LIMIT_EXCEEDED', `An agent may have ${MIRROR_LIMIT} actors mirrored.`);
    }
    const before = this.mirrors.get(address)?.weight ?? 0;
    const weight = this.charge(address, before, weightOf(state.context));
    // Built once: maps look up an identical string much faster than an equal one.
    const full = this.prefix + address;
    this.mirrors.set(address, { address: full, kind, state, weight });
    this.onTransition(transition(full, event, null, state));
  }

  private move(address: string, body: unknown): void {
    const mirror = this.mirrors.get(address);
    if (mirror === undefined)
      throw new CocosError('LINK_PROTOCOL', `An event for the unknown actor ${address}.`);
    const event = COMPILED[mirror.kind].event(body);
    if (event === null) throw new CocosError('LINK_PROTOCOL', `An event of ${address} is malformed.`);
    const before = mirror.state;
    const after = stepOf(mirror.kind, before, event);
    if (after === null) return;
    const weight = mirror.weight + weightChange(after.context, before.context);
    mirror.weight = this.charge(address, mirror.weight, weight);
    mirror.state = after;
    this.onTransition(transition(mirror.address, event.type, before, after));
  }

  /** Charges a mirror with what its new state holds, in bytes. @throws CocosError LIMIT_EXCEEDED */
  private charge(address: string, before: number, weight: number): number {
    const { recordBytes, bytes } = this.limits;
    const after = this.weight - before + weight;
    if (weight > recordBytes || after > bytes) {
      const [found, limit] = weight > recordBytes ? [weight, recordBytes] : [after, bytes];
      throw new CocosError(
        'LIMIT_EXCEEDED',
        `The state of ${address} would take ${found} bytes, but ${limit} are allowed.`,
        { details: { found, limit } },
      );
    }
    this.weight = after;
    return weight;
  }
}

/**
 * Names its states at once: of thousands of actors, none is in the processor's cache when its transition is published.
 */
export function transition(
  address: string,
  event: string,
  before: Pick<MachineState, 'value'> | null,
  after: MachineState,
): Transition {
  const from = before === null ? '' : stateName(before.value);
  return { address, event, from, to: stateName(after.value), after, atMs: systemClock.monotonic() };
}

function stepOf(kind: MirroredKind, before: MachineState, event: AnyEventObject): MachineState | null {
  try {
    return COMPILED[kind].machine.step(before, event);
  } catch (cause) {
    // A guest claims state and context independently, and no schema relates the two.
    throw new CocosError(
      'LINK_PROTOCOL',
      `The mirrored ${kind} cannot process '${event.type}' in its claimed context.`,
      { cause },
    );
  }
}

function kindOf(address: string): MirroredKind {
  const kind = kindOfAddress(address);
  if (kind === null) throw new CocosError('LINK_PROTOCOL', 'A journal record has an unknown address.');
  return kind;
}

function compile(kind: MirroredKind): Compiled {
  const { machine, event, input, context } = MIRRORED[kind];
  const own = plainParser(event);
  return {
    machine: new CompiledMachine(machine),
    event: own,
    input,
    context,
  };
}
