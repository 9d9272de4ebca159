import type { Database } from 'lmdb';
import { z } from 'zod';
import { type RootStore, transact } from '../store/database.ts';

/**
 * Which computations this manager was asked to run, on the disk, so that none is started twice: an entry is made
 * before the enclave is, and completed when there is one. It stays when the computation has ended.
 */

const Entry = z.strictObject({
  /** Digest of what was asked for. */
  terms: z.string(),
  /** Null while the enclave is being made. */
  enclaveId: z.string().nullable(),
});
export type RunEntry = z.infer<typeof Entry>;

export class IdempotencyStore {
  private readonly root: RootStore;
  private readonly runs: Database<string, string>;

  constructor(root: RootStore) {
    this.root = root;
    this.runs = root.openDB({ name: 'service-runs', encoding: 'string' });
  }

  /** An entry that cannot be read counts as made, without an enclave, for terms that nobody can meet. */
  get(computationId: string): RunEntry | null {
    this.root.resetReadTxn();
    const stored = this.runs.get(computationId);
    if (stored === undefined) return null;
    try {
      return Entry.parse(JSON.parse(stored));
    } catch {
      return { terms: '', enclaveId: null };
    }
  }

  /** Resolves when the entry is on the disk. */
  async put(computationId: string, entry: RunEntry): Promise<void> {
    await transact(this.root, (batch) =>
      batch.add(() => this.runs.put(computationId, JSON.stringify(entry))),
    );
  }

  async remove(computationId: string): Promise<void> {
    await transact(this.root, (batch) => batch.add(() => this.runs.remove(computationId)));
  }
}
