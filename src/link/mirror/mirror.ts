import type { AnyEventObject } from 'xstate';
import { z } from 'zod';
import { CocosError } from '../../errors.ts';
import { kindOfAddress, MIRRORED, type MirroredKind, MirrorRecord } from '../../machines/mirrored.ts';
import { stateName } from '../../machines/state-name.ts';
import { systemClock } from '../../runtime/clock.ts';
import { CompiledMachine, type MachineState } from './compiled-machine.ts';
import { type Parse, plainParser } from './schema-compiler.ts';

/** Maximum number of mirrored actors of one agent. */
const MIRROR_LIMIT = 10_000;

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
}

/**
 * The agent's machines as the manager sees them: the same statecharts, compiled, and driven by the agent's journal.
 * All input is a claim of an untrusted guest. It can move only its own mirrors, and only as the statecharts allow.
 */
export class MirrorSet {
  private readonly mirrors = new Map<string, Mirror>();
  private readonly onTransition: (transition: Transition) => void;
  private readonly prefix: string;

  /** `prefix` comes before every address in what `onTransition` is given. */
  constructor(onTransition: (transition: Transition) => void, prefix = '') {
    this.onTransition = onTransition;
    this.prefix = prefix;
  }

  /**
   * Applies a record of the agent's journal.
   *
   * @returns the address of the mirror that the record has ended; null for every other record.
   * @throws CocosError LINK_PROTOCOL for a record that is malformed or does not fit the statechart, LIMIT_EXCEEDED
   * for one actor more than an agent may have.
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
        this.mirrors.delete(record.address);
        return record.address;
    }
  }

  /**
   * Takes up a mirror as it was stored.
   *
   * @throws CocosError LINK_PROTOCOL when it does not fit its statechart.
   */
  recall(address: string, value: unknown, context: unknown): void {
    this.restore(address, { status: 'active', value, context }, RESTORED);
  }

  clear(): void {
    this.mirrors.clear();
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
    const state = COMPILED[kind].machine.restore(parsed.data.value, parsed.data.context);
    if (state === null)
      throw new CocosError('LINK_PROTOCOL', `The state of ${address} is not one of its chart.`);
    this.adopt(address, kind, state, event);
  }

  private adopt(address: string, kind: MirroredKind, state: MachineState, event: string): void {
    if (!this.mirrors.has(address) && this.mirrors.size >= MIRROR_LIMIT) {
      throw new CocosError('LIMIT_EXCEEDED', `An agent may have ${MIRROR_LIMIT} actors mirrored.`);
    }
    // Built once: maps look up an identical string much faster than an equal one.
    const full = this.prefix + address;
    this.mirrors.set(address, { address: full, kind, state });
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
    mirror.state = after;
    this.onTransition(transition(mirror.address, event.type, before, after));
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
    // A guest can claim a context that its chart cannot process.
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
  const { machine, event, input } = MIRRORED[kind];
  const own = plainParser(event);
  return {
    machine: new CompiledMachine(machine),
    event: own,
    input,
  };
}
