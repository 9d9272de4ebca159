import type { Batch } from './database.ts';
import type { Store, Writes } from './store.ts';

/** Writes of one part of the manager that belong into a transaction of another part. */
export interface JoinedWrite {
  /** Null when it can be written now; otherwise resolves when it can. */
  ready(): Promise<void> | null;
  /** Adds its writes to the transaction; called once. */
  write(batch: Batch): void;
  /** Called once, with the outcome of that transaction. */
  settle(stored: Promise<void>): void;
}

/**
 * Stores writes and those that join them in one transaction: at once, where every one of them is ready.
 *
 * @returns resolves when all of them are on the disk.
 */
export function transactJoined(
  store: Store,
  run: (writes: Writes) => void,
  joined: readonly JoinedWrite[],
): Promise<void> {
  const commit = (): Promise<void> => {
    const stored = store.transact((writes) => {
      run(writes);
      for (const each of joined) each.write(writes.batch);
    });
    for (const each of joined) each.settle(stored);
    return stored;
  };
  const waits = joined.map((each) => each.ready()).filter((wait) => wait !== null);
  return waits.length === 0 ? commit() : Promise.allSettled(waits).then(commit);
}
