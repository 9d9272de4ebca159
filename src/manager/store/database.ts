import { open, type RootDatabase } from 'lmdb';
import { CocosError } from '../../errors.ts';

/** How the manager writes to LMDB. Every write goes through {@link transact}. */

export type RootStore = RootDatabase<Buffer, string>;

const MAP_BYTES = 4 * 1024 * 1024 * 1024;

export function openDatabase(folder: string): RootStore {
  return open<Buffer, string>({
    path: folder,
    encoding: 'binary',
    mapSize: MAP_BYTES,
    overlappingSync: false,
    // Otherwise lmdb makes a promise for each turn's batch that it returns to nobody and rejects when a commit fails.
    eventTurnBatching: false,
  });
}

/** Collects the writes of one transaction. */
export interface Batch {
  add(write: () => Promise<unknown>): void;
}

/**
 * Runs writes as one transaction: all of them are stored, or none is.
 *
 * @param collect adds the writes; when it throws, nothing is written.
 * @returns resolves when the transaction is on the disk.
 * @throws CocosError STORE_FAILED when the disk did not take it.
 */
export async function transact(root: RootStore, collect: (batch: Batch) => void): Promise<void> {
  const writes: (() => Promise<unknown>)[] = [];
  // Collected first, since lmdb commits the part of a batch that came before an exception.
  collect({ add: (write) => void writes.push(write) });
  try {
    await root.batch(() => {
      // A write's own promise says nothing that the transaction's does not.
      for (const write of writes) write().catch(handleCommitError);
    });
  } catch (cause) {
    handleCommitError(cause);
    throw new CocosError(
      'STORE_FAILED',
      'The store could not be written: check the disk of the state folder.',
      { cause },
    );
  }
}

/** lmdb attaches the operating system's error to its own one as a promise, rejected a moment later. */
function handleCommitError(thrown: unknown): void {
  if (!(thrown instanceof Error && 'commitError' in thrown)) return;
  if (thrown.commitError instanceof Promise) thrown.commitError.catch(() => undefined);
}
