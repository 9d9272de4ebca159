import { Actor, type AnyActor, type AnyMachineSnapshot, type InspectionEvent } from 'xstate';
import { CocosError } from '../../errors.ts';
import type { MachineState } from '../../link/mirror/compiled-machine.ts';
import { MirrorSet, RECALLED } from '../../link/mirror/mirror.ts';
import { failedChild } from '../../machines/child-failure.ts';
import type { EnclaveEvent } from '../../machines/enclave.events.ts';
import type { EnclaveContext } from '../../machines/enclave.machine.ts';
import { stateName } from '../../machines/state-name.ts';
import { systemClock } from '../../runtime/clock.ts';

/** What may be told about an actor to anybody who may drive the manager. */
export interface ActorView {
  readonly address: string;
  readonly machine: string;
  readonly state: string;
  readonly context: Readonly<Record<string, unknown>>;
}

export interface TransitionView {
  readonly sequence: number;
  readonly address: string;
  readonly event: string;
  readonly from: string;
  readonly to: string;
  readonly atMs: number;
  readonly context: Readonly<Record<string, unknown>>;
}

export type DirectoryItem =
  | { readonly kind: 'transition'; readonly sequence: number; readonly transition: TransitionView }
  | { readonly kind: 'removed'; readonly sequence: number; readonly address: string };

/** One step of an actor, as it is to be stored. */
export interface Step {
  readonly address: string;
  /** Null for a mirror. */
  readonly actor: AnyActor | null;
  readonly event: string;
  readonly before: MachineState | null;
  readonly after: MachineState;
}

/** Stores what an actor has come to; resolves when it is on the disk. */
export type Persist = (step: Step) => Promise<void>;

/** Steps that are stored together, and so are told together. */
interface Group {
  readonly stored: Promise<void>;
  readonly moves: Move[];
}

/** A step as it is told. */
interface Move {
  readonly address: string;
  readonly event: string;
  readonly from: string;
  readonly to: string;
  readonly after: MachineState;
}

const NOTHING_TO_STORE = Promise.resolve();

type Watcher = (item: DirectoryItem) => void;

/** Items kept for watchers that come back. */
const HISTORY_LIMIT = 10_000;

const OWN_ADDRESS = /^(manager|service|enclave\/[a-z0-9]+)$/;

/** Every actor of the manager, its own and the mirrored ones, by address, with what happens to each of them. */
export class Directory {
  /** As they are now. */
  private readonly live = new Map<string, { actor: AnyActor; snapshot: AnyMachineSnapshot }>();
  /** As they were stored last: what is told, so that nobody sees a state that a restart would take back. */
  private readonly told = new Map<string, MachineState>();
  private readonly mirrors = new Map<string, MirrorSet>();
  private readonly watchers = new Set<Watcher>();
  private sequence: number;
  private history: DirectoryItem[] = [];
  private tail: Promise<void> = Promise.resolve();
  /** The last of what is to be told, while nothing else has come after it. */
  private group: Group | null = null;
  private readonly persist: Persist;
  private readonly restored: ReadonlySet<string>;
  private readonly onFailure: (address: string, thrown: unknown) => void;

  /**
   * @param firstSequence lies above every sequence number that was told before.
   * @param restored addresses of actors that begin as they were stored.
   * @param onFailure told of an actor that has thrown; what was told of it last stays.
   */
  constructor(
    firstSequence: number,
    persist: Persist,
    restored: readonly string[] = [],
    onFailure: (address: string, thrown: unknown) => void = () => undefined,
  ) {
    this.onFailure = onFailure;
    this.sequence = firstSequence;
    this.persist = persist;
    this.restored = new Set(restored);
  }

  /** To be passed to `createActor` of the root as `inspect`. */
  readonly inspect = (inspected: InspectionEvent): void => {
    const failed = failedChild(inspected, 'manager');
    if (failed !== null && OWN_ADDRESS.test(failed.address)) this.onFailure(failed.address, failed.thrown);
    if (inspected.type !== '@xstate.snapshot' || !(inspected.actorRef instanceof Actor)) return;
    const actor: AnyActor = inspected.actorRef;
    const { type } = inspected.event;
    if (!OWN_ADDRESS.test(actor.id) || type === 'xstate.stop') return;
    const after: AnyMachineSnapshot = actor.getSnapshot();
    // What threw is brought back from where it was before, so that is what stays stored and told.
    if (after.status === 'error') return;
    const before = this.live.get(actor.id);
    this.live.set(actor.id, { actor, snapshot: after });
    if (before?.snapshot === after) return;
    // One that is brought back, in this run or from an earlier one, begins as it was stored.
    const isRecalled = before === undefined ? this.restored.has(actor.id) : before.actor !== actor;
    this.take({
      address: actor.id,
      actor,
      event: isRecalled ? RECALLED : type,
      before: before?.snapshot ?? null,
      after,
    });
  };

  /** The mirrors of an enclave's agent, made on first use. */
  mirrorsOf(enclave: string): MirrorSet {
    const known = this.mirrors.get(enclave);
    if (known !== undefined) return known;
    const mirrors = new MirrorSet((move) => this.take({ ...move, actor: null }), `${enclave}/`);
    this.mirrors.set(enclave, mirrors);
    return mirrors;
  }

  private take(step: Step): void {
    const stored = step.event === RECALLED ? NOTHING_TO_STORE : this.persist(step);
    const { address, event, before, after } = step;
    // While both states are at hand: of thousands of actors, none is in the processor's cache when they are told.
    const from = before === null ? '' : stateName(before.value);
    const move: Move = { address, event, from, to: stateName(after.value), after };
    if (this.group?.stored === stored) return void this.group.moves.push(move);
    const group: Group = { stored, moves: [move] };
    this.next(
      () => stored,
      () => {
        if (this.group === group) this.group = null;
        for (const each of group.moves) {
          this.told.set(each.address, each.after);
          this.report(each);
        }
      },
    );
    this.group = group;
  }

  remove(enclave: string): void {
    this.mirrors.get(enclave)?.clear();
    this.mirrors.delete(enclave);
    this.live.delete(enclave);
    this.next(
      () => Promise.resolve(),
      () => {
        const removed = [...this.told.keys()].filter((address) => matches(address, enclave));
        for (const address of removed) this.told.delete(address);
        for (const address of removed) this.tell((sequence) => ({ kind: 'removed', sequence, address }));
      },
    );
  }

  /** Takes a mirror that its agent has ended out of what is told. */
  forget(address: string): void {
    this.next(
      () => Promise.resolve(),
      () => {
        this.told.delete(address);
      },
    );
  }

  /** @throws CocosError ACTOR_NOT_FOUND */
  snapshot(address: string): MachineState {
    const snapshot = this.find(address);
    if (snapshot === null) throw new CocosError('ACTOR_NOT_FOUND', `There is no actor ${address}.`);
    return snapshot;
  }

  actor(address: string): AnyActor {
    const known = this.live.get(address);
    if (known === undefined) throw new CocosError('ACTOR_NOT_FOUND', `There is no actor ${address}.`);
    return known.actor;
  }

  /** The context of an enclave as it is now. @throws CocosError ACTOR_NOT_FOUND */
  enclave(address: string): EnclaveContext {
    const snapshot: { readonly context: EnclaveContext } = this.actor(address).getSnapshot();
    return snapshot.context;
  }

  /** Sends an event to an enclave. @throws CocosError ACTOR_NOT_FOUND */
  send(address: string, event: EnclaveEvent): void {
    this.actor(address).send(event);
  }

  view(address: string): ActorView {
    return viewOf(address, this.snapshot(address));
  }

  list(prefix: string): ActorView[] {
    const addresses = [...this.told.keys()];
    return addresses
      .filter((address) => matches(address, prefix))
      .sort()
      .flatMap((address) => {
        const snapshot = this.find(address);
        return snapshot === null ? [] : [viewOf(address, snapshot)];
      });
  }

  get position(): number {
    return this.sequence;
  }

  /** What happened under `prefix` after a sequence number, or null when that is not all kept any more. */
  since(prefix: string, sequence: number): DirectoryItem[] | null {
    const first = this.history[0]?.sequence ?? this.sequence + 1;
    if (sequence > this.sequence || sequence + 1 < first) return null;
    return this.history.filter((item) => item.sequence > sequence && matches(addressOf(item), prefix));
  }

  /** Calls `watcher` for everything that happens under `prefix` until the returned function is called. */
  watch(prefix: string, watcher: Watcher): () => void {
    const filtered: Watcher = (item) => {
      if (matches(addressOf(item), prefix)) watcher(item);
    };
    this.watchers.add(filtered);
    return () => this.watchers.delete(filtered);
  }

  private find(address: string): MachineState | null {
    return this.told.get(address) ?? null;
  }

  /** Resolves when everything that has happened so far is stored and told. */
  async settled(): Promise<void> {
    await this.tail;
  }

  private next(wait: () => Promise<void>, then: () => void): void {
    this.group = null;
    // A state that could not be stored is told all the same: the machine has moved.
    this.tail = this.tail.then(wait).then(then, then);
  }

  private report({ address, event, from, to, after }: Move): void {
    const context = publicContext(after.context);
    this.tell((sequence) => ({
      kind: 'transition',
      sequence,
      transition: { sequence, address, event, from, to, atMs: systemClock.monotonic(), context },
    }));
  }

  private tell(make: (sequence: number) => DirectoryItem): void {
    this.sequence += 1;
    const item = make(this.sequence);
    this.history.push(item);
    if (this.history.length > 2 * HISTORY_LIMIT) this.history = this.history.slice(-HISTORY_LIMIT);
    for (const watcher of this.watchers) watcher(item);
  }
}

function addressOf(item: DirectoryItem): string {
  return item.kind === 'transition' ? item.transition.address : item.address;
}

/** `enclave/7f3a` matches itself and all below it; the empty prefix matches everything. */
function matches(address: string, prefix: string): boolean {
  return (
    prefix === '' || address === prefix || address.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`)
  );
}

function viewOf(address: string, state: MachineState): ActorView {
  return {
    address,
    machine: state.machine.id,
    state: stateName(state.value),
    context: publicContext(state.context),
  };
}

/** What is told of a context: the manifest is long and its digest says the same. */
export function publicContext(context: MachineState['context']): MachineState['context'] {
  if (!('manifest' in context)) return context;
  const { manifest: _, ...others } = context;
  return others;
}
