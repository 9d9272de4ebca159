import type { AnyActor, AnyEventObject, AnyMachineSnapshot } from 'xstate';
import { z } from 'zod';
import { CocosError } from '../errors.ts';
import {
  EffectError,
  kindOfAddress,
  MIRRORED,
  type MirroredKind,
  MirrorRecord,
} from '../machines/mirrored.ts';

/** How many actors one agent may have mirrored here. */
const MIRROR_LIMIT = 10_000;

const PersistedSnapshot = z.looseObject({
  status: z.enum(['active', 'done', 'error', 'stopped']),
  value: z.union([z.string(), z.record(z.string(), z.unknown())]),
  context: z.record(z.string(), z.unknown()),
});

export interface MirrorMove {
  readonly address: string;
  readonly event: string;
  readonly before: AnyMachineSnapshot | null;
  readonly after: AnyMachineSnapshot;
}

/**
 * The agent's machines as the manager sees them: the same machines, moved by the agent's journal, with
 * effects that do nothing. Everything that comes in is a claim of an untrusted guest: it can only move its
 * own mirrors, and only in ways that the statecharts allow.
 */
export class MirrorSet {
  private readonly actors = new Map<string, AnyActor>();
  private readonly onMove: (move: MirrorMove) => void;

  constructor(onMove: (move: MirrorMove) => void) {
    this.onMove = onMove;
  }

  /** @throws CocosError LINK_PROTOCOL for a record that is malformed or does not fit the statechart. */
  apply(body: unknown): void {
    const parsed = MirrorRecord.safeParse(body);
    if (!parsed.success) throw new CocosError('LINK_PROTOCOL', 'A journal record is malformed.');
    const record = parsed.data;
    const kind = kindOfAddress(record.address);
    if (kind === null) throw new CocosError('LINK_PROTOCOL', 'A journal record has an unknown address.');
    switch (record.kind) {
      case 'started':
        return this.start(record.address, kind, record.input);
      case 'state':
        return this.restore(record.address, kind, record.snapshot);
      case 'event':
        return this.move(record.address, kind, record.event);
      case 'retired':
        this.actors.get(record.address)?.stop();
        this.actors.delete(record.address);
    }
  }

  clear(): void {
    for (const actor of this.actors.values()) actor.stop();
    this.actors.clear();
  }

  get(address: string): AnyMachineSnapshot | null {
    const snapshot: AnyMachineSnapshot | undefined = this.actors.get(address)?.getSnapshot();
    return snapshot ?? null;
  }

  addresses(): string[] {
    return [...this.actors.keys()];
  }

  private start(address: string, kind: MirroredKind, input: unknown): void {
    let actor: AnyActor;
    try {
      actor = MIRRORED[kind].start(input);
    } catch (cause) {
      throw new CocosError('LINK_PROTOCOL', `The input of ${address} is malformed.`, { cause });
    }
    this.adopt(address, actor, 'started');
  }

  private restore(address: string, kind: MirroredKind, snapshot: unknown): void {
    const parsed = PersistedSnapshot.safeParse(snapshot);
    if (!parsed.success) throw new CocosError('LINK_PROTOCOL', `The snapshot of ${address} is malformed.`);
    const restored = { ...parsed.data, children: {}, output: undefined, error: undefined };
    this.adopt(address, MIRRORED[kind].restore(restored), 'restored');
  }

  private adopt(address: string, actor: AnyActor, event: string): void {
    const before = this.actors.get(address);
    if (before === undefined && this.actors.size >= MIRROR_LIMIT) {
      throw new CocosError('LIMIT_EXCEEDED', `An agent may have ${MIRROR_LIMIT} actors mirrored.`);
    }
    before?.stop();
    // Without an observer an actor that cannot start would end the process with an unhandled error.
    actor.subscribe({ error: () => this.actors.delete(address) });
    this.actors.set(address, actor);
    actor.start();
    const after: AnyMachineSnapshot = actor.getSnapshot();
    if (after.status === 'error') {
      this.actors.delete(address);
      throw new CocosError('LINK_PROTOCOL', `The state of ${address} is not one of its chart.`);
    }
    this.onMove({ address, event, before: null, after });
  }

  private move(address: string, kind: MirroredKind, body: unknown): void {
    const actor = this.actors.get(address);
    if (actor === undefined)
      throw new CocosError('LINK_PROTOCOL', `An event for the unknown actor ${address}.`);
    const event: AnyEventObject | null = parseEvent(kind, body);
    if (event === null) throw new CocosError('LINK_PROTOCOL', `An event of ${address} is malformed.`);
    const before: AnyMachineSnapshot = actor.getSnapshot();
    if (!before.can(event)) return;
    actor.send(event);
    const after: AnyMachineSnapshot = actor.getSnapshot();
    if (after !== before) this.onMove({ address, event: event.type, before, after });
  }
}

function parseEvent(kind: MirroredKind, body: unknown): AnyEventObject | null {
  const own = MIRRORED[kind].event.safeParse(body);
  if (own.success) return own.data;
  const internal = EffectError.safeParse(body);
  return internal.success ? internal.data : null;
}
