import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Entry, Journal } from '../../../../examples/service/journal.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'cocosai-journal-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const stop = (computationId: string): Entry => ({ kind: 'stopWanted', computationId });

describe('Journal', () => {
  it('gives what was stored before, without a line that was cut off, and goes on after it', async () => {
    const file = path.join(folder, 'journal');
    const first = await Journal.open(file, () => undefined);
    first.append(stop('a'));
    first.append(stop('ä'));
    await first.close();
    await appendFile(file, '{"kind":"stopWan');
    const taken: Entry[] = [];
    const second = await Journal.open(file, (entry) => taken.push(entry));
    second.append(stop('c'));
    await second.close();
    expect(taken).toEqual([stop('a'), stop('ä')]);
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual([stop('a'), stop('ä'), stop('c')]);
  });

  it('has stored what was appended when sync resolves', async () => {
    const file = path.join(folder, 'journal');
    const journal = await Journal.open(file, () => undefined);
    journal.append(stop('a'));
    const before = journal.sync();
    journal.append(stop('b'));
    await Promise.all([before, journal.sync()]);
    expect((await readFile(file, 'utf8')).trimEnd().split('\n')).toHaveLength(2);
    await journal.close();
  });
});
