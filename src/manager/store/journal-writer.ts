import { CocosError } from '../../errors.ts';
import { type JoinedWrite, transactJoined } from './joined-write.ts';
import { type Entry, keyOf } from './journal-records.ts';
import type { Store } from './store.ts';

/** Bytes that may wait for a disk that does not take them; over that, agents are held back. */
const BACKLOG_BYTES = 32 * 1024 * 1024;
/** What an entry takes beside its frame. */
const ENTRY_BYTES = 64;

interface Turn {
  readonly stored: Promise<void>;
  readonly settle: (outcome: Promise<void>) => void;
}

interface Waiting {
  readonly number: number;
  readonly entries: readonly Entry[];
  readonly size: number;
}

interface JournalWriterOptions {
  readonly store: Store;
  /** Lies above the number of every record of earlier runs. */
  readonly firstNumber: number;
  /** Is called with the bytes that each transaction has written. */
  readonly onWritten: (bytes: number) => void;
  /** What could not be written is tried again with the next write; until then nothing of it is acknowledged. */
  readonly onFailure: (error: CocosError) => void;
}

/** Writes what is appended in one turn of the event loop as one record, in order and one transaction at a time. */
export class JournalWriter {
  private readonly options: JournalWriterOptions;
  private entries: Entry[] = [];
  /** Writes that join the next transaction. */
  private joined: JoinedWrite[] = [];
  private turn: Turn | null = null;
  /** The transaction under way; settles when it is over, and never rejects. */
  private writing: Promise<void> | null = null;
  /** The one after it, when something waits for that. */
  private following: Promise<void> | null = null;
  /** Records that the disk has not taken yet, oldest first. */
  private waiting: Waiting[] = [];
  private waitingBytes = 0;
  private next: number;
  private freed: (() => void)[] = [];

  constructor(options: JournalWriterOptions) {
    this.options = options;
    this.next = options.firstNumber + 1;
  }

  /** Number of the last record, written or not. */
  get last(): number {
    return this.next - 1;
  }

  /** Records that an earlier run left lie before every new one. */
  continueAfter(numbers: Iterable<number>): void {
    for (const number of numbers) this.next = Math.max(this.next, number + 1);
  }

  /** Resolves when the entry is on the disk. */
  append(entry: Entry): Promise<void> {
    this.entries.push(entry);
    return this.stored();
  }

  /** Resolves when that, and everything that was or will be appended in this turn, is on the disk. */
  join(joined: JoinedWrite | null): Promise<void> {
    if (joined !== null) this.joined.push(joined);
    return this.stored();
  }

  /** Writes what was appended so far in this turn. */
  flush(): void {
    if (this.turn === null) return;
    const { settle } = this.turn;
    this.turn = null;
    if (this.entries.length > 0) {
      const size = this.entries.reduce((sum, [, , , frame]) => sum + ENTRY_BYTES + (frame?.length ?? 0), 0);
      this.waiting.push({ number: this.next, entries: this.entries, size });
      this.waitingBytes += size;
      this.entries = [];
      this.next += 1;
    }
    settle(this.commit());
  }

  /** Resolves when the last transaction that was asked for is over, also when it has failed. */
  async idle(write: Promise<void> | null = this.following ?? this.writing): Promise<void> {
    await write?.catch(() => undefined);
  }

  /** Null while there is room for more; otherwise resolves when the disk has taken some of what waits. */
  whenWritable(): Promise<void> | null {
    if (this.waitingBytes < BACKLOG_BYTES) return null;
    return new Promise((resolve) => this.freed.push(resolve));
  }

  private stored(): Promise<void> {
    if (this.turn !== null) return this.turn.stored;
    let settle: Turn['settle'] = () => undefined;
    const stored = new Promise<void>((resolve) => {
      settle = resolve;
    });
    this.turn = { stored, settle };
    setImmediate(() => this.flush());
    return stored;
  }

  /**
   * Each record is encoded once, and none is on the disk before those that come before it. What is flushed during a
   * transaction goes into the next one.
   */
  private commit(): Promise<void> {
    if (this.writing === null && this.following === null) return this.begin();
    this.following ??= this.idle(this.writing).then(() => {
      this.following = null;
      return this.begin();
    });
    return this.following;
  }

  private begin(): Promise<void> {
    const written = this.write(this.joined.splice(0));
    written.catch((thrown: unknown) => this.options.onFailure(CocosError.from(thrown)));
    const writing = this.idle(written).then(() => {
      if (this.writing === writing) this.writing = null;
    });
    this.writing = writing;
    return written;
  }

  private async write(joined: readonly JoinedWrite[]): Promise<void> {
    // In order, so that the journal has no gap; what fails is tried again with what comes next.
    // A copy, since what is flushed during the transaction waits in the same list and belongs to the next one.
    const records = [...this.waiting];
    const bytes = records.reduce((sum, { size }) => sum + size, 0);
    await transactJoined(
      this.options.store,
      (writes) => {
        for (const { number, entries } of records) writes.put(keyOf(number), 'journal', 1, entries);
      },
      joined,
    );
    this.waiting = this.waiting.slice(records.length);
    this.waitingBytes -= bytes;
    if (this.waitingBytes < BACKLOG_BYTES) for (const free of this.freed.splice(0)) free();
    this.options.onWritten(bytes);
  }
}
