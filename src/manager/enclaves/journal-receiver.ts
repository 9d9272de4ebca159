import type { LinkPosition, Taken } from '../../link/link.ts';
import type { MirrorSet } from '../../link/mirror/mirror.ts';
import type { EnclaveJournal } from '../store/enclave-journal.ts';

interface JournalReceiverOptions {
  readonly mirrors: MirrorSet;
  readonly journal: EnclaveJournal;
  /** Is called for a mirror that its agent has ended, with its full address. */
  readonly onRetired: (address: string) => void;
}

/** Receives what the agent of one enclave journals: moves its mirrors, and stores what moved them. */
export class JournalReceiver {
  private readonly options: JournalReceiverOptions;

  constructor(options: JournalReceiverOptions) {
    this.options = options;
  }

  /** How far the agent's journal was received by an earlier link. */
  get resume(): LinkPosition | null {
    return this.options.journal.position;
  }

  /** @throws CocosError LINK_PROTOCOL, LIMIT_EXCEEDED */
  receiveEvent(body: unknown): void {
    this.apply(body);
  }

  /**
   * Full states in the place of events.
   *
   * @param first whether they replace every mirror that there was.
   * @throws CocosError LINK_PROTOCOL, LIMIT_EXCEEDED
   */
  receiveSnapshot(records: readonly unknown[], first: boolean, peerBootId: string): void {
    const { mirrors, journal } = this.options;
    if (first) {
      mirrors.clear();
      journal.clear(peerBootId);
    }
    for (const record of records) this.apply(record);
  }

  /** Stores a step of the agent's journal after it was received. Resolves when it is on the disk. */
  commit(position: LinkPosition, taken: Taken): Promise<void> {
    const { journal } = this.options;
    if (taken.kind === 'snapshot') return journal.settle(position);
    return journal.append(position, taken.kind === 'event' ? taken.frame : null);
  }

  private apply(record: unknown): void {
    const { mirrors, journal, onRetired } = this.options;
    const retired = mirrors.apply(record);
    if (retired === null) return;
    const full = `${journal.address}/${retired}`;
    // What could not be stored is reported by the journal, and stored with what comes next.
    void journal.touch(full).catch(() => undefined);
    onRetired(full);
  }
}
