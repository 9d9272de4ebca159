import { Actor, type AnyActor, type AnyMachineSnapshot, type InspectionEvent } from 'xstate';
import { CocosError } from '../../errors.ts';
import type { MachineState } from '../../link/mirror/compiled-machine.ts';
import { MirrorSet, RESTORED, type Transition, transition } from '../../link/mirror/mirror.ts';
import { failedChild } from '../../machines/child-failure.ts';
import type { EnclaveEvent } from '../../machines/enclave.events.ts';
import type { EnclaveContext } from '../../machines/enclave.machine.ts';
import { stateName } from '../../machines/state-name.ts';

/** The view of an actor shown to control clients. */
export interface ActorView {
  readonly address: string;
  readonly machine: string;
  readonly state: string;
  readonly context: Readonly<Record<string, unknown>>;
}

export type DirectoryItem =
  | { readonly kind: 'transition'; readonly sequence: number; readonly transition: Transition }
  | { readonly kind: 'removed'; readonly sequence: number; readonly address: string };

/** Stores transitions before they are published. Each resolves when its transition is on the disk. */
export interface Persistence {
  persistActor(transition: Transition, actor: AnyActor): Promise<void>;
  /** Of a mirror of this enclave's agent. */
  persistMirror(transition: Transition, enclave: string): Promise<void>;
}

/** Transitions that are stored together, and so are published together. */
interface Group {
  readonly stored: Promise<void>;
  readonly transitions: Transition[];
}

const NOTHING_TO_STORE = Promise.resolve();

type Watcher = (item: DirectoryItem) => void;

/** Items kept for watchers that come back. */
const HISTORY_LIMIT = 10_000;

const OWN_ADDRESS = /^(manager|service|enclave\/[a-z0-9]+)$/;

/** The states and transitions of every actor of the manager, its own and the mirrored ones, by address. */
export class Directory {
  /** As they are now. */
  private readonly live = new Map<string, { actor: AnyActor; snapshot: AnyMachineSnapshot }>();
  /** As they were stored last: clients see these, and so never a state that a restart would take back. */
  private readonly published = new Map<string, MachineState>();
  private readonly watchers = new Set<Watcher>();
  private sequence: number;
  private history: DirectoryItem[] = [];
  private tail: Promise<void> = Promise.resolve();
  /** The last group to be published, while nothing else has come after it. */
  private group: Group | null = null;
  private readonly persistence: Persistence;
  private readonly restored: ReadonlySet<string>;
  private readonly onFailure: (address: string, thrown: unknown) => void;

  /**
   * @param firstSequence lies above every sequence number that was published before.
   * @param restored addresses of actors that begin as they were stored.
   * @param onFailure is called for an actor that has thrown; its published state stays.
   */
  constructor(
    firstSequence: number,
    persistence: Persistence,
    restored: readonly string[] = [],
    onFailure: (address: string, thrown: unknown) => void = () => undefined,
  ) {
    this.onFailure = onFailure;
    this.sequence = firstSequence;
    this.persistence = persistence;
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
    // What threw is brought back from where it was before, so that is what stays stored and published.
    if (after.status === 'error') return;
    const before = this.live.get(actor.id);
    this.live.set(actor.id, { actor, snapshot: after });
    if (before?.snapshot === after) return;
    // One that is brought back, in this run or from an earlier one, begins as it was stored.
    const isRecalled = before === undefined ? this.restored.has(actor.id) : before.actor !== actor;
    const event = isRecalled ? RESTORED : type;
    const step = transition(actor.id, event, before?.snapshot ?? null, after);
    this.record(step, isRecalled ? NOTHING_TO_STORE : this.persistence.persistActor(step, actor));
  };

  /** New mirrors for an enclave's agent, whose transitions go into this directory. */
  createMirrors(enclave: string): MirrorSet {
    const { persistence } = this;
    const record = (step: Transition) =>
      this.record(
        step,
        step.event === RESTORED ? NOTHING_TO_STORE : persistence.persistMirror(step, enclave),
      );
    return new MirrorSet(record, `${enclave}/`);
  }

  private record(step: Transition, stored: Promise<void>): void {
    if (this.group?.stored === stored) return void this.group.transitions.push(step);
    const group: Group = { stored, transitions: [step] };
    this.next(
      () => stored,
      () => {
        if (this.group === group) this.group = null;
        for (const each of group.transitions) {
          this.published.set(each.address, each.after);
          this.publish((sequence) => ({ kind: 'transition', sequence, transition: each }));
        }
      },
    );
    this.group = group;
  }

  /** Removes an enclave and the mirrors of its agent. */
  remove(enclave: string): void {
    this.live.delete(enclave);
    this.next(
      () => NOTHING_TO_STORE,
      () => {
        const removed = [...this.published.keys()].filter((address) => matches(address, enclave));
        for (const address of removed) this.published.delete(address);
        for (const address of removed) this.publish((sequence) => ({ kind: 'removed', sequence, address }));
      },
    );
  }

  /** Removes a mirror that its agent has ended. */
  forget(address: string): void {
    this.next(
      () => NOTHING_TO_STORE,
      () => {
        this.published.delete(address);
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
    const addresses = [...this.published.keys()];
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
    return this.published.get(address) ?? null;
  }

  /** Resolves when everything that has happened so far is stored and published. */
  async settled(): Promise<void> {
    await this.tail;
  }

  private next(wait: () => Promise<void>, then: () => void): void {
    this.group = null;
    // A state that could not be stored is published all the same: the machine has moved.
    this.tail = this.tail.then(wait).then(then, then);
  }

  private publish(make: (sequence: number) => DirectoryItem): void {
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

/** The part of a context that leaves the manager: the manifest is long, and its digest says the same. */
export function publicContext(context: MachineState['context']): MachineState['context'] {
  if (!('manifest' in context)) return context;
  const { manifest: _, ...others } = context;
  return others;
}
