import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openDatasets } from '../../../../src/agent/run/datasets.ts';

let folder: string;
let tree: string;
const at = (name: string) => path.join(folder, name);
const inputs = {
  committedFile: (input: string) => at(`file-${input}`),
  unpackedFolder: (input: string) => at(`folder-${input}`),
};
const entry = (name: string, kind?: 'directory') => ({
  ...{ name, digest: `sha256:${'0'.repeat(64)}`, provider: `ed25519:${'A'.repeat(43)}` },
  ...(kind === undefined ? {} : { kind }),
});
const tar = (...args: string[]) => execFileSync('tar', ['-cf', at('file-tree'), ...args], { stdio: 'pipe' });
const open = (signal = new AbortController().signal) =>
  openDatasets([entry('tree', 'directory'), entry('plain')], inputs, signal);

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'cocos-datasets-'));
  tree = at('source');
  mkdirSync(tree);
  writeFileSync(path.join(tree, 'a'), 'one');
  writeFileSync(at('file-plain'), 'two');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the datasets of a run', () => {
  it('are files and unpacked directories, and the tar is gone', async () => {
    tar('-C', tree, '.');
    expect(await open()).toEqual(
      new Map([
        ['tree', at('folder-tree')],
        ['plain', at('file-plain')],
      ]),
    );
    expect(readFileSync(at('folder-tree/a'), 'utf8')).toBe('one');
    expect(existsSync(at('file-tree'))).toBe(false);
  });

  it.each<[string, () => void]>([
    [
      'a symbolic link',
      () => {
        symlinkSync('/etc/passwd', path.join(tree, 'link'));
        tar('-C', tree, '.');
      },
    ],
    [
      'a pipe',
      () => {
        execFileSync('mkfifo', [path.join(tree, 'pipe')]);
        tar('-C', tree, '.');
      },
    ],
    ['a path that leaves it', () => tar('-P', '-C', tree, '--transform', 's,^a$,../../a,', 'a')],
    ['an absolute path', () => tar('-P', '-C', tree, '--transform', 's,^a$,/tmp/a,', 'a')],
    ['a file twice', () => tar('-C', tree, 'a', 'a', '--hard-dereference')],
    ['bytes that are no tar', () => writeFileSync(at('file-tree'), 'x'.repeat(2_000))],
  ])('cannot be a directory with %s, and nothing is left of it', async (_what, make) => {
    make();
    await expect(open()).rejects.toMatchObject({
      code: 'ARCHIVE_UNSAFE',
      message: expect.stringContaining("'tree'"),
    });
    expect(readdirSync(folder)).not.toContain('folder-tree');
  });

  it('are not unpacked any further once the run is aborted', async () => {
    tar('-C', tree, '.');
    await expect(open(AbortSignal.abort())).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(readdirSync(folder)).not.toContain('folder-tree');
  });
});
