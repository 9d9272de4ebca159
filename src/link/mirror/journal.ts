import type { FrameKind } from '../wire/frame.ts';

/** Frames that the peer has not acknowledged, in order and bounded in number. */

export interface JournalEntry {
  readonly kind: FrameKind;
  readonly seq: number;
  readonly body: unknown;
}

export const JOURNAL_LIMIT = 10_000;

export class Journal {
  private entries: JournalEntry[] = [];
  private last = 0;
  private readonly limit: number;

  constructor(limit: number = JOURNAL_LIMIT) {
    this.limit = limit;
  }

  get lastSeq(): number {
    return this.last;
  }

  /** Appends an entry. Beyond the limit the oldest are dropped, and the peer gets a snapshot instead. */
  append(kind: FrameKind, body: unknown): JournalEntry {
    this.last += 1;
    const entry: JournalEntry = { kind, seq: this.last, body };
    this.entries.push(entry);
    if (this.entries.length > this.limit) this.entries.splice(0, this.entries.length - this.limit);
    return entry;
  }

  acknowledge(seq: number): void {
    const keep = this.entries.findIndex((entry) => entry.seq > seq);
    this.entries = keep === -1 ? [] : this.entries.slice(keep);
  }

  /** Entries after `seq`, or null if the journal no longer covers that position. */
  after(seq: number): readonly JournalEntry[] | null {
    const first = this.entries[0]?.seq ?? this.last + 1;
    if (seq + 1 < first) return null;
    return this.entries.filter((entry) => entry.seq > seq);
  }
}
