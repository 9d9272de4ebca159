import type { CocosError } from '../../errors.ts';
import type { MirrorLimits, MirrorSet } from '../../link/mirror/mirror.ts';
import { EnclaveJournal } from './enclave-journal.ts';
import { enclaveRecords } from './enclave-records.ts';
import { JOURNAL_PREFIX, keyOf, replayJournal } from './journal-records.ts';
import { JournalWriter } from './journal-writer.ts';
import type { Store, Writes } from './store.ts';

/** The mirrors are written, and the journal begins anew, when it holds so much. */
const COMPACT_BYTES = 64 * 1024 * 1024;
/** Enclaves whose mirrors are written in one transaction. */
const COMPACT_BATCH = 100;

interface MirrorJournalOptions {
  readonly store: Store;
  /** Lies above the number of every record of earlier runs. */
  readonly firstNumber: number;
  /** Of the mirrors that are brought back. */
  readonly limits?: MirrorLimits;
  /** Null for an enclave that is gone. */
  readonly mirrorsOf: (enclave: string) => MirrorSet | null;
  /** What could not be written is tried again with the next write; until then nothing of it is acknowledged. */
  readonly onFailure: (error: CocosError) => void;
}

/**
 * What agents have journaled, as received, until the stored mirrors contain it. Storing a mirror at each of its events
 * would cost more than everything else done for the event. So the frames of one turn of the event loop are written as
 * one record, and the mirrors only when the journal has grown long.
 */
export class MirrorJournal {
  private readonly options: MirrorJournalOptions;
  private readonly enclaves = new Map<string, EnclaveJournal>();
  private readonly writer: JournalWriter;
  private size = 0;
  private compaction: Promise<void> | null = null;

  constructor(options: MirrorJournalOptions) {
    const { store, firstNumber, onFailure } = options;
    this.options = options;
    this.writer = new JournalWriter({
      ...{ store, firstNumber, onFailure },
      onWritten: (bytes) => this.grow(bytes),
    });
  }

  /** The part of one enclave, which begins at its first use. */
  enclave(address: string): EnclaveJournal {
    const known = this.enclaves.get(address);
    if (known !== undefined) return known;
    const enclave = new EnclaveJournal(address, this.writer, (each) => this.write([each]));
    this.enclaves.set(address, enclave);
    return enclave;
  }

  /**
   * Brings back the mirrors of these enclaves: as they were stored, moved by what the journal holds since.
   *
   * @returns keys of the records that were refused.
   */
  async restore(addresses: readonly string[]): Promise<string[]> {
    const { store, limits, mirrorsOf } = this.options;
    const { found, numbers, refused } = replayJournal(store, addresses, limits);
    const marks = [...found.values()].map(({ journal }) => journal);
    // Also if the record is damaged from which this run's first number is derived.
    this.writer.continueAfter([...marks, ...numbers]);
    const save: ((writes: Writes) => void)[] = [];
    for (const [address, { mirrors, position }] of found) {
      const target = mirrorsOf(address);
      const states = mirrors.addresses().map((own) => [own, mirrors.get(own)] as const);
      for (const [own, state] of states)
        if (state !== null) target?.restoreMirror(own, state.value, state.context);
      if (position === null) continue;
      this.enclave(address).resume(position);
      const at = { ...position, journal: this.writer.last };
      // Written whole, also without those that were retired since.
      if (numbers.length === 0) continue;
      const records = enclaveRecords(store, address);
      save.push((writes) => {
        records.clear(writes, at);
        records.save(writes, at, states);
      });
    }
    await store.transact((writes) => {
      for (const each of save) each(writes);
      for (const number of numbers) writes.remove(keyOf(number));
    });
    return refused;
  }

  /** Removes what is stored of an enclave's mirrors, in a transaction of the caller. */
  remove(address: string, writes: Writes): void {
    this.enclaves.delete(address);
    enclaveRecords(this.options.store, address).remove(writes);
  }

  /** Writes what was appended so far in this turn of the event loop. */
  flush(): void {
    this.writer.flush();
  }

  /** Null while there is room for more; otherwise resolves when the disk has taken some of what waits. */
  whenWritable(): Promise<void> | null {
    return this.writer.whenWritable();
  }

  /** Writes everything; the journal is empty then. */
  async close(): Promise<void> {
    this.flush();
    await this.compact();
  }

  private grow(bytes: number): void {
    this.size += bytes;
    if (this.size < COMPACT_BYTES) return;
    // What could not be written stays in the journal, and is tried again when that has grown as much once more.
    this.compaction ??= this.compact()
      .catch(() => undefined)
      .finally(() => {
        this.compaction = null;
      });
  }

  /** Writes every mirror that differs from what is stored of it, and removes the records that these then contain. */
  private async compact(): Promise<void> {
    this.size = 0;
    const enclaves = [...this.enclaves.values()].filter(({ hasChanges }) => hasChanges);
    const { last } = this.writer;
    for (let at = 0; at < enclaves.length; at += COMPACT_BATCH) {
      this.flush();
      await this.write(enclaves.slice(at, at + COMPACT_BATCH));
      await new Promise(setImmediate);
    }
    await this.writer.idle();
    await this.options.store.removeBefore(JOURNAL_PREFIX, keyOf(last + 1));
  }

  /** Writes what differs of these enclaves' mirrors, in one transaction. */
  private async write(enclaves: readonly EnclaveJournal[]): Promise<void> {
    const { store, mirrorsOf } = this.options;
    // What moved the mirrors comes before them.
    await this.writer.idle();
    const taken = enclaves.flatMap((enclave) => {
      const mirrors = mirrorsOf(enclave.address);
      const changes = mirrors === null ? null : enclave.takeChanges();
      if (mirrors === null || changes === null) return [];
      const states = changes.mirrors.map((own) => [own, mirrors.get(own)] as const);
      return [{ enclave, changes, states }];
    });
    const journal = this.writer.last;
    try {
      await store.transact((writes) => {
        for (const { enclave, changes, states } of taken) {
          const records = enclaveRecords(store, enclave.address);
          const position = { ...changes.position, journal };
          if (changes.isCleared) records.clear(writes, position);
          records.save(writes, position, states);
        }
      });
    } catch (thrown) {
      for (const { enclave, changes } of taken) enclave.giveBack(changes);
      throw thrown;
    }
  }
}
