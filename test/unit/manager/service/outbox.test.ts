import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Outbox } from '../../../../src/manager/service/outbox.ts';
import { EVENT_BYTES_LIMIT, type OutboxEvent } from '../../../../src/manager/service/outbox-event.ts';
import type { WaitingEvent } from '../../../../src/manager/service/outbox-store.ts';
import { openDatabase, type RootStore, transact } from '../../../../src/manager/store/database.ts';

const ROOT = path.resolve(import.meta.dirname, '../../../..');

/** Appends to three computations without end, and prints each place once it is promised to be on the disk. */
const APPENDER = `
import { Outbox } from '${ROOT}/src/manager/service/outbox.ts';
import { openDatabase } from '${ROOT}/src/manager/store/database.ts';
const outbox = await Outbox.open(openDatabase(process.argv[1]), 1e9);
const event = { atMs: 1, address: 'enclave/1', event: 'e', from: 'a', to: 'b', contextJson: '{}' };
const run = async (id) => { for (;;) console.log(id + ' ' + (await outbox.append(id, event))); };
await Promise.all(['a', 'b', 'c'].map(run));
`;

let folder: string;
let root: RootStore;

const openRoot = () => openDatabase(folder);

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'cocosai-outbox-'));
  root = openRoot();
});
afterEach(async () => {
  await root.close();
  rmSync(folder, { recursive: true, force: true });
});

const event = (to: string, contextJson = '{}'): OutboxEvent => ({
  ...{ atMs: 7, address: 'enclave/1/computation', event: 'input.received', from: 'receiving' },
  ...{ to, contextJson },
});

/** What waits, as `computation sequence state`. */
function waiting(outbox: Outbox, count = 1000): string[] {
  return outbox
    .unacknowledged(null, count)
    .map(({ computationId, sequence, event: { to } }) => `${computationId} ${sequence} ${to}`);
}

describe('append', () => {
  it('numbers the events of each computation from 1, also those made before the first is stored', async () => {
    const outbox = await Outbox.open(root, 100);
    const numbers = await Promise.all(['a', 'b', 'a', 'a', 'b'].map((id) => outbox.append(id, event('s'))));
    expect(numbers).toEqual([1, 1, 2, 3, 2]);
  });

  it('goes on with the next number after everything was acknowledged and the store was opened again', async () => {
    const outbox = await Outbox.open(root, 100);
    await Promise.all([outbox.append('a', event('s')), outbox.append('a', event('s'))]);
    await outbox.acknowledge('a', 2);
    await root.close();
    root = openRoot();
    const again = await Outbox.open(root, 100);
    expect([again.id, again.size]).toEqual([outbox.id, 0]);
    expect(await again.append('a', event('s'))).toBe(3);
  });

  it('says when it is full, and takes what was made all the same', async () => {
    const outbox = await Outbox.open(root, 2);
    await outbox.append('a', event('1'));
    expect(outbox.isFull).toBe(false);
    await outbox.append('a', event('2'));
    expect(outbox.isFull).toBe(true);
    const room = outbox.whenWritable('b', new AbortController().signal);
    expect(await outbox.append('a', event('3'))).toBe(3);
    await outbox.acknowledge('a', 2);
    await room;
    expect(waiting(outbox)).toEqual(['a 3 3']);
  });

  it('holds back the computation that has a quarter of its bytes, before it holds back the others', async () => {
    const large = { ...event('s'), contextJson: JSON.stringify({ text: 'x'.repeat(10_000) }) };
    const outbox = await Outbox.open(root, 1_000, 100_000);
    for (let made = 0; made < 3; made++) await outbox.append('a', large);
    expect([outbox.isFullFor('a'), outbox.isFullFor('b'), outbox.isFull]).toEqual([true, false, false]);
    const again = await Outbox.open(root, 1_000, 100_000);
    expect([again.isFullFor('a'), again.isFullFor('b')]).toEqual([true, false]);
    const room = again.whenWritable('a', new AbortController().signal);
    await again.acknowledge('a', 2);
    await room;
    expect(again.isFullFor('a')).toBe(false);
    for (let made = 0; made < 10; made++) await again.append(`c${made}`, large);
    expect([again.isFull, again.isFullFor('b')]).toEqual([true, true]);
  });

  it('holds back the computation that has a quarter of its events', async () => {
    const outbox = await Outbox.open(root, 8);
    await outbox.append('a', event('1'));
    await outbox.append('a', event('2'));
    expect([outbox.isFullFor('a'), outbox.isFullFor('b'), outbox.isFull]).toEqual([true, false, false]);
  });

  it('refuses an event that would not pass through the stream, and gives its number to the next', async () => {
    const outbox = await Outbox.open(root, 10);
    const large = event('s', 'x'.repeat(EVENT_BYTES_LIMIT));
    await expect(outbox.append('a', large)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
    expect([await outbox.append('a', event('s')), outbox.size]).toEqual([1, 1]);
  });

  it('an event that joins a transaction is stored with it, whatever runs before the two are written', async () => {
    const outbox = await Outbox.open(root, 10);
    let commits = 0;
    root.on('aftercommit', () => {
      commits += 1;
    });
    const joined = outbox.join('a', event('s'));
    await new Promise(setImmediate);
    expect(commits).toBe(0);
    const stored = transact(root, (batch) => {
      batch.add(() => root.put('snapshot', Buffer.from('s')));
      joined.write(batch);
    });
    joined.settle(stored);
    await stored;
    expect([commits, await joined.appended, waiting(outbox)]).toEqual([1, 1, ['a 1 s']]);
  });

  it('an event that joins a transaction is not stored without it, and leaves no gap', async () => {
    const outbox = await Outbox.open(root, 10);
    const joined = outbox.join('a', event('1'));
    const stored = transact(root, (batch) => {
      joined.write(batch);
      throw new Error('what it tells of could not be encoded');
    });
    joined.settle(stored);
    await expect(stored).rejects.toThrow('encoded');
    await expect(joined.appended).rejects.toMatchObject({ code: 'OUTBOX_FAILED' });
    expect(await outbox.append('a', event('2'))).toBe(1);
    expect(waiting(outbox)).toEqual(['a 1 2']);
  });
});

describe('unacknowledged', () => {
  it('gives events in the order in which they were made, page by page', async () => {
    const outbox = await Outbox.open(root, 100);
    const made = ['b', 'a', 'c', 'a', 'b', 'a', 'c'];
    await Promise.all(made.map((id) => outbox.append(id, event('s'))));
    const read: string[] = [];
    let after: WaitingEvent | null = null;
    for (;;) {
      const page: WaitingEvent[] = outbox.unacknowledged(after, 3);
      if (page.length === 0) break;
      expect(page.length).toBeLessThanOrEqual(3);
      read.push(...page.map(({ computationId }) => computationId));
      after = page.at(-1) ?? null;
    }
    expect(read).toEqual(made);
  });

  it('gives a stand-in for a record with a flipped bit, and the rest as they are', async () => {
    const outbox = await Outbox.open(root, 100);
    for (const to of ['1', '2', '3']) await outbox.append('a', event(to));
    const records = root.openDB<Buffer, [number, string, number]>({
      name: 'outbox-events',
      encoding: 'binary',
    });
    const record = Buffer.from(records.get([2, 'a', 2]) ?? []);
    record.writeUInt8(record.readUInt8(20) ^ 1, 20);
    await records.put([2, 'a', 2], record);
    const read = outbox
      .unacknowledged(null, 10)
      .map(({ sequence, event: { event: type, to } }) => [sequence, type, to]);
    expect(read).toEqual([
      [1, 'input.received', '1'],
      [2, 'record.damaged', ''],
      [3, 'input.received', '3'],
    ]);
  });

  it('gives stand-ins in their places for numbers that are missing when the store is opened', async () => {
    const outbox = await Outbox.open(root, 100);
    for (const to of ['1', '2', '3', '4', '5']) {
      await outbox.append('a', event(to));
      await outbox.append('b', event(to));
    }
    const records = root.openDB<Buffer, [number, string, number]>({
      name: 'outbox-events',
      encoding: 'binary',
    });
    const places = root.openDB<number, [string, number]>({
      name: 'outbox-places',
      encoding: 'ordered-binary',
    });
    for (const sequence of [1, 3, 5]) {
      await records.remove([sequence * 2 - 1, 'a', sequence]);
      await places.remove(['a', sequence]);
    }
    const again = await Outbox.open(root, 100);
    expect(waiting(again).filter((each) => each.startsWith('a'))).toEqual([
      'a 1 ',
      'a 2 2',
      'a 3 ',
      'a 4 4',
      'a 5 ',
    ]);
    expect(waiting(again).filter((each) => each.startsWith('b'))).toHaveLength(5);
    expect(again.size).toBe(10);
  });
});

describe('acknowledge', () => {
  it('forgets the events of this computation up to the number, and no others', async () => {
    const outbox = await Outbox.open(root, 100);
    for (const to of ['1', '2', '3']) {
      await outbox.append('a', event(to));
      await outbox.append('ab', event(to));
    }
    await outbox.acknowledge('a', 2);
    expect(waiting(outbox)).toEqual(['ab 1 1', 'ab 2 2', 'a 3 3', 'ab 3 3']);
    expect(outbox.size).toBe(4);
  });

  it('counts each event once when acknowledgements overlap or come again', async () => {
    const outbox = await Outbox.open(root, 100);
    for (let index = 0; index < 10; index++) await outbox.append('a', event('s'));
    await Promise.all([2, 5, 5, 3, 9].map((sequence) => outbox.acknowledge('a', sequence)));
    expect([outbox.size, waiting(outbox).length]).toEqual([1, 1]);
  });

  it('refuses the number of an event that is not there yet', async () => {
    const outbox = await Outbox.open(root, 100);
    await outbox.append('a', event('s'));
    await expect(outbox.acknowledge('a', 2)).rejects.toMatchObject({ code: 'SERVICE_PROTOCOL' });
    await expect(outbox.acknowledge('b', 1)).rejects.toMatchObject({ code: 'SERVICE_PROTOCOL' });
    expect(outbox.size).toBe(1);
  });
});

describe('a process that is killed', () => {
  it('leaves every event that it was promised, in order and without a gap', async () => {
    await root.close();
    const promised = new Map<string, number>();
    for (const lines of [40, 170, 300]) {
      const child = spawn(
        process.execPath,
        ['--import', 'tsx', '--input-type=module', '-e', APPENDER, folder],
        { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] },
      );
      const ended = once(child, 'exit');
      let count = 0;
      for await (const line of createInterface({ input: child.stdout })) {
        const [id = '', sequence] = line.split(' ');
        promised.set(id, Number(sequence));
        if (++count === lines) child.kill('SIGKILL');
      }
      expect((await ended)[1]).toBe('SIGKILL');
    }
    root = openRoot();
    const outbox = await Outbox.open(root, 1e9);
    const sequences = new Map<string, number[]>();
    for (const { computationId, sequence, event: each } of outbox.unacknowledged(null, 1e6)) {
      expect(each.event).toBe('e');
      sequences.set(computationId, [...(sequences.get(computationId) ?? []), sequence]);
    }
    expect([...sequences.keys()].sort()).toEqual(['a', 'b', 'c']);
    for (const [id, list] of sequences) {
      expect(list).toEqual(list.map((_, index) => index + 1));
      expect(list.length).toBeGreaterThanOrEqual(promised.get(id) ?? Number.NaN);
    }
  });
});
