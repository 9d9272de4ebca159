import type { AnyActor } from 'xstate';
import { CocosError } from '../../errors.ts';
import type { Transition } from '../../link/mirror/mirror.ts';
import type { Persistence } from '../control/directory.ts';
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

/** Stores each transition and, in the same transaction, what the management service is to learn of it. */
export class TransitionStore implements Persistence {
  private readonly options: TransitionStoreOptions;

  constructor(options: TransitionStoreOptions) {
    this.options = options;
  }

  persistActor(transition: Transition, actor: AnyActor): Promise<void> {
    const { journal } = this.options;
    const { address } = transition;
    // The manager itself and its service stream begin anew with each process.
    if (!address.startsWith('enclave/')) return Promise.resolve();
    // What the mirrors did before comes before it in the outbox as well.
    journal.flush();
    return this.storeActor(address, actor, this.exported(address, transition));
  }

  mirrorsOf(enclave: string): (transition: Transition) => Promise<void> {
    const journal = this.options.journal.enclave(enclave);
    return (transition) => journal.touch(transition.address, this.exported(enclave, transition));
  }

  private exported(enclave: string, transition: Transition): JoinedWrite | null {
    const { exporter, computationOf } = this.options;
    if (exporter === null) return null;
    const computationId = computationOf(enclave);
    return computationId === null ? null : exporter.record(computationId, transition);
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
