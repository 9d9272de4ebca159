import { randomUUID } from 'node:crypto';
import type { Database } from 'lmdb';
import { type Batch, type RootStore, transact } from '../store/database.ts';
import { decodeOutboxRecord, type EventPlace, type OutboxEvent } from './outbox-event.ts';

/** How the outbox lies in LMDB: its events in their order, where each computation's are, and its counters. */

/** Position in the outbox, computation, sequence number: the place is in the key, should the record be damaged. */
type EventKey = [number, string, number];
type PlaceKey = [string, number];

/** Last sequence number that was given, last one that was acknowledged; 0 before the first. */
export type Counters = readonly [last: number, acknowledged: number];

/** Events that are held, and the bytes of their records. */
export interface Holding {
  readonly events: number;
  readonly bytes: number;
}

export const NOTHING: Holding = { events: 0, bytes: 0 };

/** An event that waits, with its position in the outbox. */
export interface WaitingEvent extends EventPlace {
  readonly position: number;
  readonly event: OutboxEvent;
}

export class OutboxStore {
  private readonly root: RootStore;
  private readonly events: Database<Buffer, EventKey>;
  private readonly places: Database<number, PlaceKey>;
  private readonly counts: Database<[number, number], string>;
  private readonly about: Database<string, string>;

  constructor(root: RootStore) {
    this.root = root;
    this.events = root.openDB({ name: 'outbox-events', encoding: 'binary' });
    this.places = root.openDB({ name: 'outbox-places', encoding: 'ordered-binary' });
    this.counts = root.openDB({ name: 'outbox-counters', encoding: 'ordered-binary' });
    this.about = root.openDB({ name: 'outbox-about', encoding: 'string' });
  }

  /** The id that this store's sequence numbers belong to, made on first use. */
  async id(): Promise<string> {
    const known = this.about.get('id');
    if (known !== undefined) return known;
    const id = randomUUID();
    await transact(this.root, (batch) => batch.add(() => this.about.put('id', id)));
    return id;
  }

  /** Position of the last event. */
  end(): number {
    this.root.resetReadTxn();
    const [latest] = this.events.getKeys({ reverse: true, limit: 1 });
    return latest?.[0] ?? 0;
  }

  /** What it holds of each computation; walks all events. */
  holdings(): Map<string, Holding> {
    this.root.resetReadTxn();
    const found = new Map<string, Holding>();
    for (const { key, value } of this.events.getRange({})) {
      const [, computationId] = key;
      const { events, bytes } = found.get(computationId) ?? NOTHING;
      found.set(computationId, { events: events + 1, bytes: bytes + value.length });
    }
    return found;
  }

  counters(computationId: string): Counters {
    this.root.resetReadTxn();
    return this.counts.get(computationId) ?? [0, 0];
  }

  /** Writes an event, in a transaction of the caller. */
  write(batch: Batch, position: number, place: EventPlace, record: Buffer, counters: Counters): void {
    const { computationId, sequence } = place;
    batch.add(() => this.events.put([position, computationId, sequence], record));
    batch.add(() => this.places.put([computationId, sequence], position));
    batch.add(() => this.counts.put(computationId, [...counters]));
  }

  /** Resolves when what `collect` adds is on the disk. */
  transact(collect: (batch: Batch) => void): Promise<void> {
    return transact(this.root, collect);
  }

  /** Removes events `from` to `to` of a computation, both included. @returns how many those are, once they are gone. */
  async remove(computationId: string, from: number, to: number, counters: Counters): Promise<number> {
    this.root.resetReadTxn();
    const found = [...this.places.getRange({ start: [computationId, from], end: [computationId, to + 1] })];
    await this.transact((batch) => {
      for (const { key, value: position } of found) {
        batch.add(() => this.places.remove(key));
        batch.add(() => this.events.remove([position, ...key]));
      }
      batch.add(() => this.counts.put(computationId, [...counters]));
    });
    return found.length;
  }

  /** At most `count` events after this one, or from the first on. */
  page(after: WaitingEvent | null, count: number): WaitingEvent[] {
    this.root.resetReadTxn();
    const start: EventKey =
      after === null ? [0, '', 0] : [after.position, after.computationId, after.sequence + 1];
    const page: WaitingEvent[] = [];
    for (const { key, value } of this.events.getRange({ start, limit: count })) {
      const [position, computationId, sequence] = key;
      const place = { computationId, sequence };
      page.push({ ...place, position, event: decodeOutboxRecord(place, value) });
    }
    return page;
  }

  /**
   * Writes a stand-in wherever a computation's sequence has a gap, as a commit that failed between two others may
   * leave, so that the service recognises the gap and continues.
   */
  async fillGaps(): Promise<void> {
    let position = this.end();
    for (const { key: computationId, value: counters } of this.counts.getRange()) {
      const [last, acknowledged] = counters;
      if (last === acknowledged) continue;
      const gaps: [position: number, sequence: number][] = [];
      let expected = acknowledged + 1;
      const start: PlaceKey = [computationId, expected];
      for (const { key, value } of this.places.getRange({ start, end: [computationId, last + 1] })) {
        // Keys of one position sort by the sequence number, so the stand-in comes just before its successor.
        for (; expected < key[1]; expected++) gaps.push([value, expected]);
        expected += 1;
      }
      for (; expected <= last; expected++) gaps.push([++position, expected]);
      for (const [at, sequence] of gaps) {
        // An empty record is a damaged one.
        await this.transact((batch) =>
          this.write(batch, at, { computationId, sequence }, Buffer.alloc(0), counters),
        );
      }
    }
  }
}
