import { CocosError } from '../../errors.ts';
import type { Batch, RootStore } from '../store/database.ts';
import type { JoinedWrite } from '../store/joined-write.ts';
import { encodeOutboxRecord, type OutboxEvent } from './outbox-event.ts';
import { type Holding, NOTHING, OutboxStore, type WaitingEvent } from './outbox-store.ts';

/** From this part of the limit on the outbox should be given no new computations. */
const NEARLY_FULL = 0.9;

/** Part of the limits that the events of one computation may take before its agent is held back. */
const COMPUTATION_SHARE = 0.25;
/** Bytes of events at which all agents are held back. */
export const OUTBOX_BYTES = 512 * 2 ** 20;

/** Counters of a computation that is being written at the moment. */
interface Active {
  last: number;
  committed: number;
  acknowledged: number;
  /** Writes that are not on the disk yet. */
  pending: number;
}

/** Ends a write that was begun. @throws CocosError OUTBOX_FAILED */
type WriteEnd = (stored: Promise<void>, onStored: (counters: Active) => void) => Promise<void>;

/**
 * Events that the management service has not acknowledged yet, on the disk: in the order in which they were made,
 * and numbered without a gap within each computation. Memory holds counters of those computations that are
 * being written, and no events.
 */
export class Outbox {
  /** Made anew with the store; sequence numbers count within it. */
  readonly id: string;
  private readonly store: OutboxStore;
  private readonly limit: number;
  private readonly byteLimit: number;
  private readonly active = new Map<string, Active>();
  private readonly wakers = new Set<() => void>();
  private held: Holding = NOTHING;
  private readonly heldOf = new Map<string, Holding>();
  private position = 0;
  /** Writes under way; each settles, never rejects. */
  private readonly writing = new Set<Promise<void>>();
  private failed = false;
  private recovery: Promise<void> | null = null;

  /**
   * Opens the outbox, which has its own databases in `root`.
   *
   * @param limit number of events at which producers are held back (`COCOSAI_OUTBOX_LIMIT`)
   * @param byteLimit the same in bytes (`COCOSAI_OUTBOX_KIB`)
   */
  static async open(root: RootStore, limit: number, byteLimit = OUTBOX_BYTES): Promise<Outbox> {
    const store = new OutboxStore(root);
    const outbox = new Outbox(store, limit, byteLimit, await store.id());
    await outbox.recover();
    return outbox;
  }

  private constructor(store: OutboxStore, limit: number, byteLimit: number, id: string) {
    this.store = store;
    this.limit = limit;
    this.byteLimit = byteLimit;
    this.id = id;
  }

  /** Events that it holds, those that are just being written among them. */
  get size(): number {
    return this.held.events;
  }

  /** Position of the event that was added last. */
  get end(): number {
    return this.position;
  }

  /** Whether producers should wait for room. An event that exists already is accepted all the same. */
  get isFull(): boolean {
    return this.reaches(this.held, 1);
  }

  get isNearlyFull(): boolean {
    return this.reaches(this.held, NEARLY_FULL);
  }

  /**
   * Whether the agent of a computation should wait, because the outbox is full or the computation has its share of it,
   * so that a guest that makes events without end holds back itself and no other.
   */
  isFullFor(computationId: string): boolean {
    return this.isFull || this.reaches(this.heldOf.get(computationId) ?? NOTHING, COMPUTATION_SHARE);
  }

  /**
   * Appends an event in its own transaction.
   *
   * @returns the event's number within the computation, from 1 on, once it is on the disk.
   * @throws CocosError LIMIT_EXCEEDED for an event beyond 1 MiB, OUTBOX_FAILED when it could not be written.
   */
  async append(computationId: string, event: OutboxEvent): Promise<number> {
    if (this.failed) await this.recovered();
    const joined = this.join(computationId, event);
    joined.settle(this.store.transact((batch) => joined.write(batch)));
    return joined.appended;
  }

  /**
   * Appends an event in the transaction of the transition that it reports. It gets its number when it is
   * written. `appended` resolves and rejects as `append` does.
   */
  join(computationId: string, event: OutboxEvent): JoinedWrite & { readonly appended: Promise<number> } {
    let resolveAppended: (sequence: number) => void = () => undefined;
    let rejectAppended: (error: unknown) => void = () => undefined;
    const appended = new Promise<number>((resolve, reject) => {
      resolveAppended = resolve;
      rejectAppended = reject;
    });
    let written: { readonly sequence: number; readonly end: WriteEnd } | null = null;
    return {
      appended,
      ready: () => (this.failed ? this.recovered() : null),
      write: (batch) => {
        try {
          if (this.failed) throw new CocosError('OUTBOX_FAILED', 'The outbox has not recovered yet.');
          written = this.write(batch, computationId, event);
        } catch (thrown) {
          // The transition that it reports is stored all the same.
          rejectAppended(thrown);
        }
      },
      settle: (stored) => {
        if (written === null) return;
        const { sequence, end } = written;
        end(stored, (counters) => {
          counters.committed = Math.max(counters.committed, sequence);
        }).then(() => resolveAppended(sequence), rejectAppended);
      },
    };
  }

  /**
   * The next events in the order in which they were made.
   *
   * @param after an event of an earlier page, or null for the first page.
   * @param count how many to read at most: memory holds no more than these.
   */
  unacknowledged(after: WaitingEvent | null, count: number): WaitingEvent[] {
    return this.store.page(after, count);
  }

  /**
   * Forgets the events of a computation up to and including this one; does nothing for one that is gone already.
   *
   * @throws CocosError SERVICE_PROTOCOL when the computation has no such event yet, OUTBOX_FAILED.
   */
  async acknowledge(computationId: string, sequence: number): Promise<void> {
    if (this.failed) await this.recovered();
    const { committed, acknowledged } = this.countersOf(computationId);
    if (sequence > committed) {
      throw new CocosError(
        'SERVICE_PROTOCOL',
        `Event ${sequence} of ${computationId} was acknowledged before it was made.`,
      );
    }
    if (sequence <= acknowledged) return;
    const { counters, end } = this.begin(computationId);
    counters.acknowledged = sequence;
    const to = [counters.last, sequence] as const;
    let removed = 0;
    const stored = this.store.remove(computationId, acknowledged + 1, sequence, to).then((count) => {
      removed = count;
    });
    await end(stored, () => this.release(computationId, removed));
  }

  /** Whether the service has every event of this computation. */
  isAcknowledged(computationId: string): boolean {
    const { last, acknowledged } = this.countersOf(computationId);
    return acknowledged === last;
  }

  /** Resolves when an event was stored or acknowledged next. @throws CocosError CANCELLED when the signal aborts. */
  changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = () => {
        this.wakers.delete(wake);
        reject(new CocosError('CANCELLED', 'Nobody waits for the outbox any more.'));
      };
      const wake = () => {
        signal.removeEventListener('abort', cancel);
        resolve();
      };
      if (signal.aborted) return cancel();
      signal.addEventListener('abort', cancel, { once: true });
      this.wakers.add(wake);
    });
  }

  /**
   * Back-pressure: resolves when there is room for an event of this computation.
   *
   * @throws CocosError CANCELLED when the signal aborts.
   */
  async whenWritable(computationId: string, signal: AbortSignal): Promise<void> {
    while (this.isFullFor(computationId)) await this.changed(signal);
  }

  private reaches({ events, bytes }: Holding, share: number): boolean {
    return events >= this.limit * share || bytes >= this.byteLimit * share;
  }

  /** Each event counts as the average of its computation, since reading it again would cost as much as removing it. */
  private release(computationId: string, events: number): void {
    const own = this.heldOf.get(computationId) ?? NOTHING;
    if (own.events > 0) this.hold(computationId, -events, (-own.bytes * events) / own.events);
  }

  private hold(computationId: string, events: number, bytes: number): void {
    const own = this.heldOf.get(computationId) ?? NOTHING;
    this.held = { events: this.held.events + events, bytes: this.held.bytes + bytes };
    if (own.events + events > 0)
      this.heldOf.set(computationId, { events: own.events + events, bytes: own.bytes + bytes });
    else this.heldOf.delete(computationId);
  }

  private countersOf(computationId: string): Active {
    const known = this.active.get(computationId);
    if (known !== undefined) return known;
    const [last, acknowledged] = this.store.counters(computationId);
    return { last, acknowledged, committed: last, pending: 0 };
  }

  /** Numbers an event and adds its writes. */
  private write(
    batch: Batch,
    computationId: string,
    event: OutboxEvent,
  ): { readonly sequence: number; readonly end: WriteEnd } {
    const sequence = this.countersOf(computationId).last + 1;
    const place = { computationId, sequence };
    const record = encodeOutboxRecord(place, event);
    const { counters, end } = this.begin(computationId);
    counters.last = sequence;
    this.hold(computationId, 1, record.length);
    this.position += 1;
    this.store.write(batch, this.position, place, record, [counters.last, counters.acknowledged]);
    return { sequence, end };
  }

  /** Begins one write of a computation; what it gives is to be called with the outcome. */
  private begin(computationId: string): { readonly counters: Active; readonly end: WriteEnd } {
    const counters = this.countersOf(computationId);
    this.active.set(computationId, counters);
    counters.pending += 1;
    const end: WriteEnd = (stored, onStored) => {
      const outcome = this.finish(computationId, counters, stored, onStored);
      const settled: Promise<void> = outcome
        .catch(() => undefined)
        .then(() => void this.writing.delete(settled));
      this.writing.add(settled);
      return outcome;
    };
    return { counters, end };
  }

  private async finish(
    computationId: string,
    counters: Active,
    stored: Promise<void>,
    onStored: (counters: Active) => void,
  ): Promise<void> {
    try {
      await stored;
      onStored(counters);
    } catch (cause) {
      this.failed = true;
      throw new CocosError('OUTBOX_FAILED', 'The outbox could not be written: check the disk of the store.', {
        cause,
      });
    } finally {
      counters.pending -= 1;
      // While writes fail the counters are not what is on the disk; recovery reads them again.
      if (counters.pending === 0 && !this.failed) this.active.delete(computationId);
    }
    const waiting = [...this.wakers];
    this.wakers.clear();
    for (const wake of waiting) wake();
  }

  /** Resolves when the outbox takes events again after a write that failed. @throws CocosError OUTBOX_FAILED */
  private recovered(): Promise<void> {
    this.recovery ??= Promise.all(this.writing)
      .then(() => this.recover())
      .finally(() => {
        this.recovery = null;
      });
    return this.recovery;
  }

  /** Takes up what is on the disk. @throws CocosError OUTBOX_FAILED */
  private async recover(): Promise<void> {
    this.active.clear();
    try {
      await this.store.fillGaps();
    } catch (cause) {
      throw new CocosError(
        'OUTBOX_FAILED',
        'The outbox could not be repaired: check the disk of the store.',
        { cause },
      );
    }
    this.held = NOTHING;
    this.heldOf.clear();
    for (const [id, { events, bytes }] of this.store.holdings()) this.hold(id, events, bytes);
    this.position = this.store.end();
    this.failed = false;
  }
}
