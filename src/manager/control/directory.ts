import { Actor, type AnyActor, type AnyMachineSnapshot, type InspectionEvent } from 'xstate';
import { CocosError } from '../../errors.ts';
import type { MachineState } from '../../link/mirror/compiled-machine.ts';
import {
  type MirrorLimits,
  MirrorSet,
  RESTORED,
  type Transition,
  transition,
} from '../../link/mirror/mirror.ts';
import { addedWeight } from '../../link/mirror/weight.ts';
import { failedChild } from '../../machines/child-failure.ts';
import type { EnclaveEvent } from '../../machines/enclave.events.ts';
import type { EnclaveContext } from '../../machines/enclave.machine.ts';
import { stateName } from '../../machines/state-name.ts';
import {
  addressOf,
  type DirectoryItem,
  HISTORY_LIMITS,
  History,
  type HistoryLimits,
  isUnder,
  type Part,
} from './history.ts';

/** The view of an actor shown to control clients. */
export interface ActorView {
  readonly address: string;
  readonly machine: string;
  readonly state: string;
  readonly context: Readonly<Record<string, unknown>>;
}

/** Stores transitions before they are published. Each resolves when its transition is on the disk. */
export interface Persistence {
  persistActor(transition: Transition, actor: AnyActor): Promise<void>;
  /** What stores the transitions of the mirrors of an enclave's agent. */
  mirrorsOf(enclave: string): (transition: Transition) => Promise<void>;
}

interface Published {
  state: MachineState;
  /** Of the history. */
  readonly part: Part;
}

/** Transitions that are stored together, and so are published together. */
interface Group {
  readonly stored: Promise<void>;
  readonly transitions: Transition[];
}

const NOTHING_TO_STORE = Promise.resolve();

type Watcher = (item: DirectoryItem) => void;

const OWN_ADDRESS = /^(manager|service|enclave\/[a-z0-9]+)$/;

interface DirectoryOptions {
  /** Addresses of actors that begin as they were stored. */
  readonly restored?: readonly string[];
  /** Is called for an actor that has thrown; its published state stays. */
  readonly onFailure?: (address: string, thrown: unknown) => void;
  readonly history?: HistoryLimits;
  readonly mirrors?: MirrorLimits;
}

/** The states and transitions of every actor of the manager, its own and the mirrored ones, by address. */
export class Directory {
  /** As they are now. */
  private readonly live = new Map<string, { actor: AnyActor; snapshot: AnyMachineSnapshot }>();
  /** As they were stored last: clients see these, and so never a state that a restart would take back. */
  private readonly published = new Map<string, Published>();
  private readonly watchers = new Set<Watcher>();
  private sequence: number;
  private readonly history: History;
  private readonly mirrorLimits: MirrorLimits | undefined;
  private tail: Promise<void> = Promise.resolve();
  /** The last group to be published, while nothing else has come after it. */
  private group: Group | null = null;
  private readonly persistence: Persistence;
  private readonly restored: ReadonlySet<string>;
  private readonly onFailure: (address: string, thrown: unknown) => void;

  /**
   * @param firstSequence lies above every sequence number that was published before.
   */
  constructor(firstSequence: number, persistence: Persistence, options: DirectoryOptions = {}) {
    this.onFailure = options.onFailure ?? (() => undefined);
    this.sequence = firstSequence;
    this.persistence = persistence;
    this.restored = new Set(options.restored);
    this.history = new History(firstSequence, options.history ?? HISTORY_LIMITS);
    this.mirrorLimits = options.mirrors;
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
    const persist = this.persistence.mirrorsOf(enclave);
    const record = (step: Transition) =>
      this.record(step, step.event === RESTORED ? NOTHING_TO_STORE : persist(step));
    return new MirrorSet(record, `${enclave}/`, this.mirrorLimits);
  }

  private record(step: Transition, stored: Promise<void>): void {
    if (this.group?.stored === stored) return void this.group.transitions.push(step);
    const group: Group = { stored, transitions: [step] };
    this.next(
      () => stored,
      () => {
        if (this.group === group) this.group = null;
        for (const each of group.transitions) this.publishTransition(each);
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
        const removed = [...this.published.keys()].filter((address) => isUnder(address, enclave));
        for (const address of removed) this.published.delete(address);
        const part = this.history.partOf(enclave);
        for (const address of removed) {
          this.sequence += 1;
          this.publish({ kind: 'removed', sequence: this.sequence, address }, part, 0);
        }
        this.history.close(enclave);
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
      .filter((address) => isUnder(address, prefix))
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
    return sequence > this.sequence ? null : this.history.since(prefix, sequence);
  }

  /** Calls `watcher` for everything that happens under `prefix` until the returned function is called. */
  watch(prefix: string, watcher: Watcher): () => void {
    const filtered: Watcher = (item) => {
      if (isUnder(addressOf(item), prefix)) watcher(item);
    };
    this.watchers.add(filtered);
    return () => this.watchers.delete(filtered);
  }

  private find(address: string): MachineState | null {
    return this.published.get(address)?.state ?? null;
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

  private publishTransition(transition: Transition): void {
    const { address, after } = transition;
    const known = this.published.get(address);
    const part = known?.part ?? this.history.partOf(address);
    const added = addedWeight(after.context, known?.state.context ?? null);
    if (known === undefined) this.published.set(address, { state: after, part });
    else known.state = after;
    this.sequence += 1;
    this.publish({ kind: 'transition', sequence: this.sequence, transition }, part, added);
  }

  /** @param contextBytes what the item's context adds to the history */
  private publish(item: DirectoryItem, part: Part, contextBytes: number): void {
    this.history.add(part, item, contextBytes);
    for (const watcher of this.watchers) watcher(item);
  }
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
