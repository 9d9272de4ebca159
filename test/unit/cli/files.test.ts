import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { publishFile, publishFolder, writeNew } from '../../../src/cli/files.ts';
import { CocosError } from '../../../src/errors.ts';

let folder: string;
const at = (name: string) => path.join(folder, name);
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'cocos-files-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const codeOf = (writing: Promise<unknown>): Promise<string> =>
  writing.then(
    () => 'nothing',
    (thrown: unknown) => CocosError.from(thrown).code,
  );

describe('output files', () => {
  it('writeNew does not overwrite a file', async () => {
    await writeNew(at('a'), 'first');
    expect(await codeOf(writeNew(at('a'), 'second'))).toBe('FILE_EXISTS');
    expect(readFileSync(at('a'), 'utf8')).toBe('first');
  });

  it('writeNew names a folder that does not exist', async () => {
    expect(await codeOf(writeNew(at('missing/a'), 'x'))).toBe('FILE_UNREADABLE');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('publishFile gives a file its name once', async () => {
    writeFileSync(at('a.part'), 'new');
    await publishFile(at('a.part'), at('a'));
    expect(readdirSync(folder)).toEqual(['a']);
    writeFileSync(at('b.part'), 'other');
    expect(await codeOf(publishFile(at('b.part'), at('a')))).toBe('FILE_EXISTS');
    expect(readFileSync(at('a'), 'utf8')).toBe('new');
    expect(readFileSync(at('b.part'), 'utf8')).toBe('other');
  });

  it.each(['an empty folder', 'a folder with a file', 'a file'])(
    'publishFolder does not replace %s',
    async (kind) => {
      mkdirSync(at('new'));
      if (kind === 'a file') writeFileSync(at('target'), 'mine');
      else mkdirSync(at('target'));
      if (kind === 'a folder with a file') writeFileSync(at('target/mine'), '');
      expect(await codeOf(publishFolder(at('new'), at('target')))).toBe('FILE_EXISTS');
      expect(readdirSync(folder)).toEqual(['new', 'target']);
    },
  );
});
