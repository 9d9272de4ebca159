import type { AnyActor } from 'xstate';
import { CocosError } from '../../errors.ts';
import type { Transition } from '../../link/mirror/mirror.ts';
import type { Log } from '../log.ts';
import { type JoinedWrite, transactJoined } from './joined-write.ts';
import type { MirrorJournal } from './mirror-journal.ts';
import { writeEnclave } from './recovery.ts';
import type { Store } from './store.ts';

/** What the management service is to learn of a transition, as a write that joins the transaction of its record. */
export interface TransitionExporter {
  record(computationId: string, transition: Transition): JoinedWrite;
}

interface TransitionStoreOptions {
  readonly store: Store;
  readonly journal: MirrorJournal;
  /** Null for a manager without a management service. */
  readonly exporter: TransitionExporter | null;
  /** Id of the computation that an enclave is for; null while it has none. */
  readonly computationOf: (enclave: string) => string | null;
  readonly log: Log;
}

const NOTHING_TO_STORE = Promise.resolve();

/** Stores each transition and, in the same transaction, what the management service is to learn of it. */
export class TransitionStore {
  private readonly options: TransitionStoreOptions;

  constructor(options: TransitionStoreOptions) {
    this.options = options;
  }

  /** Resolves when both are on the disk. */
  persist(transition: Transition, actor: AnyActor | null): Promise<void> {
    const { journal } = this.options;
    const { enclave, own } = splitAddress(transition.address);
    if (enclave === null) return NOTHING_TO_STORE;
    const joined = this.exported(enclave, transition);
    if (actor === null) return journal.touch(enclave, own, joined);
    // What the mirrors did before comes before it in the outbox as well.
    journal.flush();
    return this.storeActor(transition.address, actor, joined);
  }

  private exported(enclave: string, transition: Transition): JoinedWrite | null {
    const { exporter, computationOf } = this.options;
    const computationId = exporter === null ? null : computationOf(enclave);
    return computationId === null ? null : (exporter?.record(computationId, transition) ?? null);
  }

  private async storeActor(address: string, actor: AnyActor, joined: JoinedWrite | null): Promise<void> {
    const { store, log } = this.options;
    const snapshot = actor.getPersistedSnapshot();
    try {
      await transactJoined(
        store,
        (writes) => writeEnclave(writes, address, snapshot),
        joined === null ? [] : [joined],
      );
    } catch (thrown) {
      // The machine has moved all the same; its next transition stores where it is.
      const { code, message } = CocosError.from(thrown);
      log('error', 'a transition could not be stored', { address, code, reason: message });
    }
  }
}

/** `enclave/7f3a/transfer/x` is `transfer/x` of `enclave/7f3a`; other actors belong to no enclave. */
export function splitAddress(address: string): { readonly enclave: string | null; readonly own: string } {
  if (!address.startsWith('enclave/')) return { enclave: null, own: '' };
  const end = address.indexOf('/', 'enclave/'.length);
  if (end === -1) return { enclave: address, own: '' };
  return { enclave: address.slice(0, end), own: address.slice(end + 1) };
}
