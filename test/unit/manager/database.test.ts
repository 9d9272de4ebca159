import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { openDatabase, transact } from '../../../src/manager/store/database.ts';

/** Large enough that a commit takes far longer than a turn of the event loop. */
const BYTES = 4 * 1024 * 1024;
const TRANSACTIONS = 60;

it('a transaction that has resolved can be read, whatever was under way when it began', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'cocosai-database-'));
  const root = openDatabase(folder);
  try {
    let early = 0;
    const stored: Promise<void>[] = [];
    for (let index = 0; index < TRANSACTIONS; index++) {
      const key = `key/${index}`;
      const check = () => {
        root.resetReadTxn();
        if (root.get(key) === undefined) early += 1;
      };
      stored.push(
        transact(root, (batch) => batch.add(() => root.put(key, Buffer.alloc(BYTES, index)))).then(check),
      );
      // In the same turn, or while the commit of the one before is under way.
      if (index % 3 !== 0) await new Promise((resolve) => setTimeout(resolve, index % 8));
    }
    await Promise.all(stored);
    expect(early).toBe(0);
  } finally {
    await root.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
