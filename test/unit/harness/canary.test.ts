import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findIn, findInFiles, makeCanary } from '../../harness/canary.ts';

/** The search that other tests rely on when it finds nothing. */

const canary = makeCanary('one');
const other = makeCanary('two');
const raw = Buffer.from(canary.text, 'hex');

const FORMS: readonly (readonly [string, Buffer])[] = [
  ['text', Buffer.from(canary.text)],
  ['bytes', raw],
  ['upper case', Buffer.from(canary.text.toUpperCase())],
  ['reversed', Buffer.from([...canary.text].reverse().join(''))],
  ['UTF-16, as strings lie in memory', Buffer.from(canary.text, 'utf16le')],
  ['UTF-16, big-endian', Buffer.from(canary.text, 'utf16le').swap16()],
  ['hex of the text', Buffer.from(Buffer.from(canary.text).toString('hex'))],
  ['base64 of the text', Buffer.from(Buffer.from(`a note: ${canary.text}.`).toString('base64'))],
  ['base64url of the bytes', Buffer.from(Buffer.concat([Buffer.alloc(4), raw]).toString('base64url'))],
];

describe('the search for canaries', () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'cocos-s-'));
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(FORMS)('finds one as %s, at any place', (_form, bytes) => {
    for (let at = 0; at < 40; at++) {
      const memory = Buffer.concat([Buffer.alloc(at), bytes, Buffer.alloc(7)]);
      expect(findIn(memory, [canary, other])).toEqual(['one']);
    }
  });

  it('finds one across the pieces that a file is read in, in a folder below', () => {
    const file = path.join(folder, 'disk.img');
    const content = Buffer.alloc(40 * 2 ** 20);
    raw.copy(content, 16 * 2 ** 20 - 10);
    writeFileSync(file, content);
    expect(findInFiles(folder, [canary, other])).toEqual([`${file}: one`]);
    raw.copy(content, content.length - raw.length);
    content.fill(0, 0, content.length - raw.length);
    writeFileSync(file, content);
    expect(findInFiles(folder, [canary, other])).toEqual([`${file}: one`]);
  });

  it('finds nothing where one byte is another', () => {
    for (const [, bytes] of FORMS) {
      const altered = Buffer.from(bytes);
      altered.writeUInt8(altered.readUInt8(20) ^ 4, 20);
      expect(findIn(altered, [canary, other])).toEqual([]);
    }
  });
});
