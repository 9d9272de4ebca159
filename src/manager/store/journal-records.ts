import { z } from 'zod';
import { CocosError } from '../../errors.ts';
import { type MirrorLimits, MirrorSet } from '../../link/mirror/mirror.ts';
import { decodeFrame } from '../../link/wire/frame.ts';
import { enclaveRecords, type StoredPosition } from './enclave-records.ts';
import type { Store } from './store.ts';

/** The records of the mirror journal, and what they and the stored mirrors come to together. */

export const JOURNAL_PREFIX = 'journal/';
const DIGITS = 16;

const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array);
/** Enclave, boot of its agent, position in that boot's journal, and the frame where it holds an event. */
const Entry = z.tuple([z.string(), z.string(), z.int().min(1), bytes.nullable()]);
export type Entry = z.infer<typeof Entry>;
const Entries = z.array(Entry);

/** Keys sort as their numbers do. */
export function keyOf(number: number): string {
  return `${JOURNAL_PREFIX}${String(number).padStart(DIGITS, '0')}`;
}

/** The mirrors of an enclave as they were last. */
export interface Replayed {
  readonly mirrors: MirrorSet;
  /** Null before anything was received. */
  position: StoredPosition | null;
  /** Number of the last record that the stored mirrors contained; 0 for none. */
  readonly journal: number;
}

interface Replay {
  readonly found: ReadonlyMap<string, Replayed>;
  /** Of the records. */
  readonly numbers: readonly number[];
  /** Keys of records that are damaged. */
  readonly refused: string[];
}

/** Reads the mirrors of these enclaves as they were stored, and moves them by what the journal holds since. */
export function replayJournal(
  store: Store,
  enclaves: readonly string[],
  limits: MirrorLimits | undefined,
): Replay {
  const refused: string[] = [];
  const found = new Map<string, Replayed>();
  for (const enclave of enclaves) {
    const mirrors = new MirrorSet(() => undefined, '', limits);
    const records = enclaveRecords(store, enclave);
    refused.push(...records.restoreMirrors(mirrors));
    const position = records.position();
    found.set(enclave, { mirrors, position, journal: position?.journal ?? 0 });
  }
  const numbers: number[] = [];
  for (const { key, entries } of load(store, refused)) {
    const number = Number(key.slice(JOURNAL_PREFIX.length));
    numbers.push(number);
    for (const [enclave, bootId, seq, frame] of entries) {
      const at = found.get(enclave);
      if (at === undefined || number <= at.journal) continue;
      const before = at.position?.peerBootId === bootId ? at.position.received : 0;
      // After a record that is damaged there is a gap; the agent sends again what lies behind it.
      if (seq !== before + 1) continue;
      if (frame !== null) applyFrame(at.mirrors, frame);
      at.position = { peerBootId: bootId, received: seq, journal: at.journal };
    }
  }
  return { found, numbers, refused };
}

function* load(
  store: Store,
  refused: string[],
): Generator<{ readonly key: string; readonly entries: readonly Entry[] }> {
  for (const loaded of store.load(JOURNAL_PREFIX)) {
    const entries = 'error' in loaded ? null : Entries.safeParse(loaded.value);
    if (entries?.success) yield { key: loaded.key, entries: entries.data };
    else refused.push(loaded.key);
  }
}

/** A frame that moved its mirror when it came moves it now; one that was refused then ended its link. */
function applyFrame(mirrors: MirrorSet, frame: Uint8Array): void {
  try {
    mirrors.apply(decodeFrame(frame).body);
  } catch (thrown) {
    if (CocosError.from(thrown).code === 'INTERNAL') throw thrown;
  }
}
