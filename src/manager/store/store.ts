import { createHash } from 'node:crypto';
import { open, type RootDatabase } from 'lmdb';
import { z } from 'zod';
import { CocosError } from '../../errors.ts';
import { decodeMsgpack, encodeMsgpack } from '../../link/wire/msgpack.ts';

/**
 * The manager's records in LMDB. Writes of one turn of the event loop are committed together; a write's promise
 * resolves when it is on the disk. Every record carries a digest, so that a damaged one is found and named.
 */

const MAP_BYTES = 4 * 1024 * 1024 * 1024;
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

export class Store {
  private readonly root: RootDatabase<Buffer, string>;

  constructor(folder: string) {
    this.root = open<Buffer, string>({
      path: folder,
      encoding: 'binary',
      mapSize: MAP_BYTES,
      overlappingSync: false,
    });
  }

  /** For parts of the manager that keep a database of their own beside the records. */
  get database(): RootDatabase<Buffer, string> {
    return this.root;
  }

  /** Resolves when the record is committed. */
  async put(key: string, kind: string, version: number, value: unknown): Promise<void> {
    const body = encodeMsgpack([1, kind, version, encodeMsgpack(value)]);
    await this.root.put(key, Buffer.concat([digestOf(body), body]));
  }

  async remove(key: string): Promise<void> {
    await this.root.remove(key);
  }

  /** Removes every record whose key begins with `prefix`. */
  async removeAll(prefix: string): Promise<void> {
    const keys = [...this.keys(prefix)];
    await Promise.all(keys.map((key) => this.root.remove(key)));
  }

  /** Removes every record whose key begins with `prefix` and sorts before `end`. */
  async removeBefore(prefix: string, end: string): Promise<void> {
    const keys = [...this.root.getKeys({ start: prefix, end })];
    await Promise.all(keys.map((key) => this.root.remove(key)));
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

  /** Moves a record out of the way, so that it is neither lost nor met again. */
  async setAside(key: string): Promise<void> {
    const bytes = this.root.get(key);
    if (bytes === undefined) return;
    await Promise.all([this.root.put(`aside/${key}`, bytes), this.root.remove(key)]);
  }

  async close(): Promise<void> {
    await this.root.flushed;
    await this.root.close();
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
