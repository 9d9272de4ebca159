import { createHash } from 'node:crypto';
import { z } from 'zod';
import { CocosError } from '../../errors.ts';
import { decodeMsgpack, encodeMsgpack } from '../../link/wire/msgpack.ts';
import { type Batch, openDatabase, type RootStore, transact } from './database.ts';

/** The manager's records in LMDB. Every record carries a digest, so that a damaged one is found and named. */

const DIGEST_BYTES = 8;

const Envelope = z.tuple([
  z.literal(1),
  z.string(),
  z.int().min(1),
  z.custom<Uint8Array>((value) => value instanceof Uint8Array),
]);

/** One stored record: what kind it is of, in which version, and its value. */
export interface StoredRecord {
  readonly key: string;
  readonly kind: string;
  readonly version: number;
  readonly value: unknown;
}

export type Loaded = StoredRecord | { readonly key: string; readonly error: CocosError };

/** What a transaction may write. */
export interface Writes {
  /** For databases beside the records. */
  readonly batch: Batch;
  put(key: string, kind: string, version: number, value: unknown): void;
  remove(key: string): void;
  /** Removes every record whose key begins with `prefix`. */
  removeAll(prefix: string): void;
}

export class Store {
  private readonly root: RootStore;
  constructor(folder: string) {
    this.root = openDatabase(folder);
  }

  /** For parts of the manager that keep a database of their own beside the records. */
  get database(): RootStore {
    return this.root;
  }

  /**
   * Stores everything that `run` writes, or nothing of it.
   *
   * @returns resolves when it is on the disk.
   * @throws CocosError STORE_FAILED
   */
  transact(run: (writes: Writes) => void): Promise<void> {
    return transact(this.root, (batch) => run(this.writesOf(batch)));
  }

  /** A transaction of one record. @throws CocosError STORE_FAILED */
  put(key: string, kind: string, version: number, value: unknown): Promise<void> {
    return this.transact((writes) => writes.put(key, kind, version, value));
  }

  /** Removes every record whose key begins with `prefix` and sorts before `end`. @throws CocosError STORE_FAILED */
  removeBefore(prefix: string, end: string): Promise<void> {
    return this.transact((writes) => {
      for (const key of [...this.root.getKeys({ start: prefix, end })]) writes.remove(key);
    });
  }

  /** Every record whose key begins with `prefix`; a damaged one is given with its error. */
  *load(prefix: string): Generator<Loaded> {
    for (const key of this.keys(prefix)) {
      const bytes = this.root.get(key);
      if (bytes === undefined) continue;
      try {
        yield { key, ...readRecord(bytes) };
      } catch (cause) {
        yield { key, error: new CocosError('SNAPSHOT_INVALID', `The record ${key} is damaged.`, { cause }) };
      }
    }
  }

  /** Moves a record out of the way, so that it is neither lost nor met again. @throws CocosError STORE_FAILED */
  async setAside(key: string): Promise<void> {
    const bytes = this.root.get(key);
    if (bytes === undefined) return;
    await this.transact((writes) => {
      writes.batch.add(() => this.root.put(`aside/${key}`, bytes));
      writes.remove(key);
    });
  }

  async close(): Promise<void> {
    await this.root.flushed;
    await this.root.close();
  }

  private writesOf(batch: Batch): Writes {
    const remove = (key: string) => batch.add(() => this.root.remove(key));
    return {
      batch,
      put: (key, kind, version, value) => {
        const body = encodeMsgpack([1, kind, version, encodeMsgpack(value)]);
        const record = Buffer.concat([digestOf(body), body]);
        batch.add(() => this.root.put(key, record));
      },
      remove,
      removeAll: (prefix) => {
        for (const key of this.keys(prefix)) remove(key);
      },
    };
  }

  private keys(prefix: string): Iterable<string> {
    return this.root.getKeys({ start: prefix, end: `${prefix}\uffff` });
  }
}

function readRecord(bytes: Buffer): Omit<StoredRecord, 'key'> {
  const body = bytes.subarray(DIGEST_BYTES);
  if (!digestOf(body).equals(bytes.subarray(0, DIGEST_BYTES))) throw new Error('its digest is wrong');
  const [, kind, version, value] = Envelope.parse(decodeMsgpack(body));
  return { kind, version, value: decodeMsgpack(value) };
}

function digestOf(body: Uint8Array): Buffer {
  return createHash('sha256').update(body).digest().subarray(0, DIGEST_BYTES);
}
