import { CocosError } from '../../errors.ts';
import type { LinkPosition } from '../../link/link.ts';
import type { MirrorLimits, MirrorSet } from '../../link/mirror/mirror.ts';
import { type EnclaveRecords, enclaveRecords } from './enclave-records.ts';
import { type JoinedWrite, transactJoined } from './joined-write.ts';
import { type Entry, JOURNAL_PREFIX, keyOf, replayJournal } from './journal-records.ts';
import type { Store, Writes } from './store.ts';

/**
 * What agents have journaled, as received, until the stored mirrors contain it. Storing a mirror at each of its events
 * would cost more than everything else done for the event. So the frames of one turn of the event loop are written as
 * one record, and the mirrors only when the journal has grown long.
 */

/** The mirrors are written, and the journal begins anew, when it holds so much. */
const COMPACT_BYTES = 64 * 1024 * 1024;
/** Enclaves whose mirrors are written in one transaction. */
const COMPACT_BATCH = 100;
/** Bytes that may wait for a disk that does not take them; over that, agents are held back. */
const BACKLOG_BYTES = 32 * 1024 * 1024;

interface Turn {
  readonly stored: Promise<void>;
  readonly settle: (outcome: Promise<void>) => void;
}

/** One enclave's part of the journal; a single entry, since looking up costs as much as all the rest of an event. */
interface Part {
  position: LinkPosition;
  /** Full addresses of the mirrors that differ from what is stored of them. */
  readonly changed: Set<string>;
  /** Whether position or mirrors differ from what is stored of them. */
  isUnstored: boolean;
  /** Whether the mirrors began anew since they were stored: what is stored is removed with the next writing. */
  isCleared: boolean;
}

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

/** Before anything was received of any boot. */
const NOWHERE: LinkPosition = { peerBootId: '', received: 0 };

export class MirrorJournal {
  private readonly store: Store;
  private readonly mirrorsOf: (enclave: string) => MirrorSet | null;
  private readonly parts = new Map<string, Part>();
  private entries: Entry[] = [];
  /** Writes that join the next transaction. */
  private joined: JoinedWrite[] = [];
  private turn: Turn | null = null;
  /** The transaction under way; settles when it is over, and never rejects. */
  private writing: Promise<void> | null = null;
  /** The one after it, when something waits for that. */
  private following: Promise<void> | null = null;
  /** Records that the disk has not taken yet, oldest first. */
  private waiting: { readonly number: number; readonly entries: Entry[]; readonly size: number }[] = [];
  private next: number;
  private size = 0;
  private compaction: Promise<void> | null = null;
  private freed: (() => void)[] = [];

  private readonly onFailure: (error: CocosError) => void;
  private readonly limits: MirrorLimits | undefined;

  constructor({ store, firstNumber, limits, mirrorsOf, onFailure }: MirrorJournalOptions) {
    this.limits = limits;
    this.store = store;
    this.next = firstNumber + 1;
    this.mirrorsOf = mirrorsOf;
    this.onFailure = onFailure;
  }

  /**
   * Brings back the mirrors of these enclaves: as they were stored, moved by what the journal holds since.
   *
   * @returns keys of the records that were refused.
   */
  async restore(enclaves: readonly string[]): Promise<string[]> {
    const { found, numbers, refused } = replayJournal(this.store, enclaves, this.limits);
    const marks = [...found.values()].map(({ journal }) => journal);
    // Also if the record is damaged from which this run's first number is derived.
    for (const number of [...marks, ...numbers]) this.next = Math.max(this.next, number + 1);
    const save: ((writes: Writes) => void)[] = [];
    for (const [enclave, { mirrors, position }] of found) {
      const target = this.mirrorsOf(enclave);
      const states = mirrors.addresses().map((own) => [own, mirrors.get(own)] as const);
      for (const [own, state] of states)
        if (state !== null) target?.restoreMirror(own, state.value, state.context);
      if (position === null) continue;
      this.partOf(enclave).position = position;
      const at = { ...position, journal: this.next - 1 };
      // Written whole, also without those that were retired since.
      if (numbers.length === 0) continue;
      const records = this.recordsOf(enclave);
      save.push((writes) => {
        records.clear(writes, at);
        records.save(writes, at, states);
      });
    }
    await this.store.transact((writes) => {
      for (const each of save) each(writes);
      for (const number of numbers) writes.remove(keyOf(number));
    });
    return refused;
  }

  /** How far the journal of an enclave's agent was received; null for nothing. */
  position(enclave: string): LinkPosition | null {
    const position = this.parts.get(enclave)?.position ?? NOWHERE;
    return position === NOWHERE ? null : position;
  }

  /**
   * Stores one step of an agent's journal, after it was applied.
   *
   * @param frame bytes of a frame that holds an event; null for one that moves nothing.
   * @returns resolves when it is on the disk.
   */
  append(enclave: string, position: LinkPosition, frame: Uint8Array | null): Promise<void> {
    const part = this.partOf(enclave);
    part.position = position;
    part.isUnstored = true;
    this.entries.push([enclave, position.peerBootId, position.received, frame]);
    return this.stored();
  }

  /**
   * Records that a mirror has moved, begun or ended.
   *
   * @param address with the enclave's.
   * @param joined is stored in the same transaction as the cause of it, which is what was or will be appended in this
   * turn of the event loop.
   * @returns resolves when all of that is on the disk.
   */
  touch(enclave: string, address: string, joined: JoinedWrite | null = null): Promise<void> {
    const part = this.partOf(enclave);
    part.changed.add(address);
    part.isUnstored = true;
    if (joined !== null) this.joined.push(joined);
    return this.stored();
  }

  /**
   * Every mirror of the enclave begins anew, with full states that the agent of this boot sends. Until the last of them
   * is settled, those that were stored before stay stored.
   */
  clear(enclave: string, peerBootId: string): void {
    const part = this.partOf(enclave);
    const received = part.position.peerBootId === peerBootId ? part.position.received : 0;
    part.position = { peerBootId, received };
    part.changed.clear();
    part.isCleared = true;
  }

  /** Writes the mirrors of an enclave after the agent has sent full states, and how far these reach. */
  async settle(enclave: string, position: LinkPosition): Promise<void> {
    const part = this.partOf(enclave);
    part.position = position;
    part.isUnstored = true;
    this.flush();
    await this.write([enclave]);
  }

  /** Removes what is stored of an enclave's mirrors, in a transaction of the caller. */
  remove(enclave: string, writes: Writes): void {
    this.parts.delete(enclave);
    this.recordsOf(enclave).remove(writes);
  }

  /** Writes what was appended so far in this turn. */
  flush(): void {
    if (this.turn === null) return;
    const { settle } = this.turn;
    this.turn = null;
    if (this.entries.length > 0) {
      const size = this.entries.reduce((sum, [, , , frame]) => sum + 64 + (frame?.length ?? 0), 0);
      this.waiting.push({ number: this.next, entries: this.entries, size });
      this.entries = [];
      this.next += 1;
    }
    settle(this.commit());
  }

  /** Null while there is room for more; otherwise resolves when the disk has taken some of what waits. */
  whenWritable(): Promise<void> | null {
    if (this.backlog() < BACKLOG_BYTES) return null;
    return new Promise((resolve) => this.freed.push(resolve));
  }

  /** Writes everything; the journal is empty then. */
  async close(): Promise<void> {
    this.flush();
    await this.compact();
  }

  /** Resolves when everything received so far is on the disk. */
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
   * Writes what waits, one transaction at a time: each record is encoded once, and none is on the disk before those
   * that come before it. What is flushed during a transaction goes into the next one.
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
    const written = this.writeWaiting(this.joined.splice(0));
    written.catch((thrown: unknown) => this.onFailure(CocosError.from(thrown)));
    const writing = this.idle(written).then(() => {
      if (this.writing === writing) this.writing = null;
    });
    this.writing = writing;
    return written;
  }

  private async idle(write: Promise<void> | null = this.following ?? this.writing): Promise<void> {
    await write?.catch(() => undefined);
  }

  private async writeWaiting(joined: readonly JoinedWrite[]): Promise<void> {
    // In order, so that the journal has no gap; what fails is tried again with what comes next. A copy, since what is
    // flushed during the transaction waits in the same list and belongs to the next one.
    const records = [...this.waiting];
    await transactJoined(
      this.store,
      (writes) => {
        for (const { number, entries } of records) writes.put(keyOf(number), 'journal', 1, entries);
      },
      joined,
    );
    this.waiting = this.waiting.slice(records.length);
    for (const { size } of records) this.size += size;
    if (this.backlog() < BACKLOG_BYTES) for (const free of this.freed.splice(0)) free();
    if (this.size >= COMPACT_BYTES) {
      // What could not be written stays in the journal, and is tried again when that has grown as much once more.
      this.compaction ??= this.compact()
        .catch(() => undefined)
        .finally(() => {
          this.compaction = null;
        });
    }
  }

  private backlog(): number {
    return this.waiting.reduce((sum, { size }) => sum + size, 0);
  }

  /** Writes every mirror that differs from what is stored of it, and removes the records that these then contain. */
  private async compact(): Promise<void> {
    this.size = 0;
    const enclaves = [...this.parts].filter(([, { isUnstored }]) => isUnstored).map(([enclave]) => enclave);
    const last = this.next - 1;
    for (let at = 0; at < enclaves.length; at += COMPACT_BATCH) {
      this.flush();
      await this.write(enclaves.slice(at, at + COMPACT_BATCH));
      await new Promise(setImmediate);
    }
    await this.idle();
    await this.store.removeBefore(JOURNAL_PREFIX, keyOf(last + 1));
  }

  /** Writes what differs of these enclaves' mirrors, in one transaction. */
  private async write(enclaves: readonly string[]): Promise<void> {
    // What moved the mirrors comes before them.
    await this.idle();
    const changes = enclaves.flatMap((enclave) => this.takeChanges(enclave) ?? []);
    const journal = this.next - 1;
    try {
      await this.store.transact((writes) => {
        for (const { enclave, position, isCleared, mirrors } of changes) {
          const records = this.recordsOf(enclave);
          if (isCleared) records.clear(writes, { ...position, journal });
          records.save(writes, { ...position, journal }, mirrors);
        }
      });
    } catch (thrown) {
      for (const { enclave, isCleared, mirrors } of changes) {
        const part = this.partOf(enclave);
        part.isUnstored = true;
        part.isCleared ||= isCleared;
        for (const [own] of mirrors) part.changed.add(`${enclave}/${own}`);
      }
      throw thrown;
    }
  }

  /** What differs of an enclave's mirrors, which then counts as stored; null for nothing. */
  private takeChanges(enclave: string) {
    const part = this.parts.get(enclave);
    const mirrors = this.mirrorsOf(enclave);
    if (part === undefined || mirrors === null || !part.isUnstored) return null;
    const changed = [...part.changed].map((address) => {
      const own = address.slice(enclave.length + 1);
      return [own, mirrors.get(own)] as const;
    });
    const { position, isCleared } = part;
    part.changed.clear();
    part.isUnstored = false;
    part.isCleared = false;
    return { enclave, position, isCleared, mirrors: changed };
  }

  private partOf(enclave: string): Part {
    const known = this.parts.get(enclave);
    if (known !== undefined) return known;
    const part: Part = { position: NOWHERE, changed: new Set(), isUnstored: false, isCleared: false };
    this.parts.set(enclave, part);
    return part;
  }

  private recordsOf(enclave: string): EnclaveRecords {
    return enclaveRecords(this.store, enclave);
  }
}
