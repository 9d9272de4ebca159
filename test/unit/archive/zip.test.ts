import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type LocalTime, packZip } from '../../../src/archive/zip.ts';

/** Checksums of a Go program that used archive/zip on the same folders. */

const at = (year: number, month: number, day: number, hour: number): LocalTime => ({
  getFullYear: () => year,
  getMonth: () => month - 1,
  getDate: () => day,
  getHours: () => hour,
  getMinutes: () => 0,
  getSeconds: () => 0,
});
const UTC = at(1970, 1, 1, 0);
const NEW_YORK = at(1969, 12, 31, 19);

describe('packZip', () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'cocos-z-'));
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function put(name: string, content: string, mode = 0o644): void {
    const file = path.join(folder, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, content);
    chmodSync(file, mode);
  }

  async function zipOf(epoch = UTC): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of packZip(folder, epoch)) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  const sum = (bytes: Buffer) => createHash('sha3-256').update(bytes).digest('hex');

  it.each([
    ['in UTC', 0o644, UTC, '3da286b32d01e000d3a4246ec83948df30efffee0d9fd7dc8161fcfa6ade2014'],
    ['with another mode', 0o600, UTC, '498f484598f54aecbcdcb6017c5bcca5d8ed1aa85319792e3e69be9be7a5fc41'],
    ['in New York', 0o644, NEW_YORK, 'fcc67dad1797088a093e0a4b112cb977864aa24b41aa89f7acc8d0aaa8d984dc'],
  ])('equals the zip of Go for one file %s', async (_where, mode, epoch, expected) => {
    put('a.txt', 'hello\n', mode);
    const zip = await zipOf(epoch);
    expect(zip).toHaveLength(148);
    expect(sum(zip)).toBe(expected);
  });

  it('equals the zip of Go for a tree, in byte order of the paths', async () => {
    put('sub/a.csv', '1,2\n');
    put('sub-1', 'z');
    put('b.bin', 'x');
    const zip = await zipOf();
    expect(zip).toHaveLength(396);
    expect(sum(zip)).toBe('fbd2b753b188922e2ad26b77612b1fad07886ddfbd21c13aa98f1f7a4fc0b964');
  });

  it('contains only regular files, with names and modes that Python reads', async () => {
    put('größe', 'x'.repeat(300_000), 0o444);
    put('empty', '');
    mkdirSync(path.join(folder, 'nothing'));
    symlinkSync('empty', path.join(folder, 'link'));
    const file = path.join(folder, '..', `${path.basename(folder)}.zip`);
    writeFileSync(file, await zipOf());
    try {
      const script = [
        'import json, sys, zipfile',
        'z = zipfile.ZipFile(sys.argv[1])',
        'assert z.testzip() is None',
        'print(json.dumps([[i.filename, i.file_size, oct(i.external_attr >> 16), i.external_attr & 1] for i in z.infolist()]))',
      ].join('\n');
      expect(JSON.parse(execFileSync('python3', ['-c', script, file], { encoding: 'utf8' }))).toEqual([
        ['empty', 0, '0o100644', 0],
        ['größe', 300_000, '0o100444', 1],
      ]);
    } finally {
      rmSync(file);
    }
  });
});
