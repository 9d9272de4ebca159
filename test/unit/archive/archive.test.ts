import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tar from 'tar-stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { plainEntryName } from '../../../src/archive/entry-name.ts';
import { packDirectory } from '../../../src/archive/pack.ts';
import { unpackArchive } from '../../../src/archive/unpack.ts';
import { chunked, codeOf, codeOfAsync, collect } from '../crypto/support.ts';

let folder: string;
let target: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cocos-archive-'));
  target = join(folder, 'out');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const packed = async (path: string, limits?: Parameters<typeof packDirectory>[1]) =>
  Buffer.concat(await collect(packDirectory(path, limits)));
const unpack = (bytes: Uint8Array, limits?: Parameters<typeof unpackArchive>[2]) =>
  unpackArchive(chunked(bytes, 10_007), target, limits);

type Header = Parameters<tar.Pack['entry']>[0];

/** A tar of these entries, as a hostile party would create it. */
async function hostile(...entries: readonly [Header, string?][]): Promise<Buffer> {
  const pack = tar.pack();
  for (const [header, content] of entries) pack.entry({ mtime: new Date(0), ...header }, content ?? '');
  pack.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of pack) if (Buffer.isBuffer(chunk)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function makeTree(root: string): void {
  mkdirSync(join(root, 'b/empty'), { recursive: true });
  writeFileSync(join(root, 'b/run.sh'), 'echo');
  chmodSync(join(root, 'b/run.sh'), 0o750);
  writeFileSync(join(root, 'a.txt'), 'hello');
  chmodSync(join(root, 'a.txt'), 0o600);
  writeFileSync(join(root, 'big'), Buffer.alloc(700_000, 7));
  writeFileSync(join(root, 'none'), '');
  writeFileSync(join(root, `${'n'.repeat(150)}.txt`), 'long name');
  writeFileSync(join(root, 'ü.txt'), 'not ASCII');
}

describe('packDirectory', () => {
  it('produces the same bytes for the same tree, regardless of order, times and umask', async () => {
    const [one, two] = [join(folder, '1'), join(folder, '2')];
    makeTree(one);
    mkdirSync(two);
    writeFileSync(join(two, 'none'), '');
    makeTree(two);
    utimesSync(join(two, 'a.txt'), 1, 1);
    chmodSync(join(two, 'a.txt'), 0o640);
    chmodSync(join(two, 'b'), 0o700);
    expect((await packed(one)).equals(await packed(two))).toBe(true);
    writeFileSync(join(two, 'a.txt'), 'hellp');
    expect((await packed(one)).equals(await packed(two))).toBe(false);
  });

  it('produces a sorted tar with fixed owner, time and modes that GNU tar reads', async () => {
    const tree = join(folder, 'tree');
    makeTree(tree);
    const list = execFileSync('tar', ['-tvf', '-', '--utc', '--full-time', '--numeric-owner'], {
      input: await packed(tree),
      env: { LC_ALL: 'C.UTF-8', PATH: process.env['PATH'] },
    });
    const lines = list
      .toString()
      .trimEnd()
      .split('\n')
      .map((line) => line.replace(/ +/g, ' '));
    expect(lines).toEqual([
      '-rw-r--r-- 0/0 5 1970-01-01 00:00:00 a.txt',
      'drwxr-xr-x 0/0 0 1970-01-01 00:00:00 b/',
      'drwxr-xr-x 0/0 0 1970-01-01 00:00:00 b/empty/',
      '-rwxr-xr-x 0/0 4 1970-01-01 00:00:00 b/run.sh',
      '-rw-r--r-- 0/0 700000 1970-01-01 00:00:00 big',
      `-rw-r--r-- 0/0 9 1970-01-01 00:00:00 ${'n'.repeat(150)}.txt`,
      '-rw-r--r-- 0/0 0 1970-01-01 00:00:00 none',
      '-rw-r--r-- 0/0 9 1970-01-01 00:00:00 ü.txt',
    ]);
  });

  it('packs an empty folder into an empty archive', async () => {
    mkdirSync(join(folder, 'empty'));
    expect(await packed(join(folder, 'empty'))).toEqual(Buffer.alloc(1024));
  });

  it.each([
    ['a symbolic link', (at: string) => symlinkSync('/etc/passwd', at)],
    ['a named pipe', (at: string) => execFileSync('mkfifo', [at])],
  ])('refuses %s', async (_what, make) => {
    const tree = join(folder, 'tree');
    mkdirSync(tree);
    make(join(tree, 'x'));
    expect(await codeOfAsync(() => packed(tree))).toBe('ARCHIVE_UNSAFE');
  });

  it('refuses more bytes or entries than allowed', async () => {
    const tree = join(folder, 'tree');
    makeTree(tree);
    expect(await codeOfAsync(() => packed(tree, { maxBytes: 1000, maxEntries: 100 }))).toBe('ARCHIVE_UNSAFE');
    expect(await codeOfAsync(() => packed(tree, { maxBytes: 1e9, maxEntries: 3 }))).toBe('ARCHIVE_UNSAFE');
  });

  it('reports a missing folder', async () => {
    expect(await codeOfAsync(() => packed(join(folder, 'no')))).toBe('FILE_NOT_FOUND');
  });

  it('ends when its reader stops early', async () => {
    const tree = join(folder, 'tree');
    makeTree(tree);
    for await (const chunk of packDirectory(tree)) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
  });
});

describe('unpackArchive', () => {
  it('restores what was packed', async () => {
    const tree = join(folder, 'tree');
    makeTree(tree);
    const bytes = await packed(tree);
    expect(await unpack(bytes)).toEqual({ entries: 8, bytes: 5 + 4 + 700_000 + 9 + 0 + 9 });
    expect((await packed(target)).equals(bytes)).toBe(true);
    expect(statSync(join(target, 'b/run.sh')).mode & 0o777).toBe(0o755);
  });

  it.each([
    ['--format=ustar', '.'],
    ['--format=gnu', '.'],
    ['--format=pax', '.'],
    ['--format=gnu', 'a.txt', 'b'],
  ])('reads a GNU tar with %s of %s', async (...args) => {
    const tree = join(folder, 'tree');
    makeTree(tree);
    if (args[0] === '--format=ustar') rmSync(join(tree, `${'n'.repeat(150)}.txt`));
    await unpack(execFileSync('tar', ['-C', tree, '-cf', '-', ...args], { maxBuffer: 1e8 }));
    expect(readFileSync(join(target, 'a.txt'), 'utf8')).toBe('hello');
    expect(readdirSync(join(target, 'b'))).toEqual(['empty', 'run.sh']);
  });

  it('creates folders that only paths imply', async () => {
    await unpack(await hostile([{ name: 'x/y/z' }, 'deep']));
    expect(readFileSync(join(target, 'x/y/z'), 'utf8')).toBe('deep');
  });

  it('drops set-user-id bits', async () => {
    await unpack(await hostile([{ name: 'x', mode: 0o6777 }, 'x']));
    expect(statSync(join(target, 'x')).mode & 0o7777).toBe(0o755);
  });

  it.each<[string, ...[Header, string?][]]>([
    ['a path out of the folder', [{ name: '../evil' }, 'x']],
    ['a path out of the folder further in', [{ name: 'a/../../evil' }, 'x']],
    ['an absolute path', [{ name: '/tmp/evil' }, 'x']],
    ['an absolute folder', [{ name: '/', type: 'directory' }]],
    ['a symbolic link', [{ name: 'l', type: 'symlink', linkname: '/etc' }]],
    [
      'a symbolic link and a file through it',
      [{ name: 'l', type: 'symlink', linkname: '..' }],
      [{ name: 'l/evil' }, 'x'],
    ],
    ['a hard link', [{ name: 'l', type: 'link', linkname: '/etc/passwd' }]],
    ['a character device', [{ name: 'd', type: 'character-device', devmajor: 1, devminor: 3 }]],
    ['a block device', [{ name: 'd', type: 'block-device', devmajor: 8, devminor: 0 }]],
    ['a named pipe', [{ name: 'd', type: 'fifo' }]],
    ['a file twice', [{ name: 'f' }, '1'], [{ name: 'f' }, '2']],
    ['a file twice by another spelling', [{ name: 'f' }, '1'], [{ name: './f' }, '2']],
    ['a folder twice', [{ name: 'f', type: 'directory' }], [{ name: 'f/', type: 'directory' }]],
    ['a file that is a folder too', [{ name: 'f' }, '1'], [{ name: 'f/g' }, '2']],
    ['a folder that is a file too', [{ name: 'f/g' }, '1'], [{ name: 'f' }, '2']],
    ['a file without a name', [{ name: '' }, 'x']],
    ['a control character in a name', [{ name: 'a\u001b[2J' }, 'x']],
    ['a backslash in a name', [{ name: '..\\evil' }, 'x']],
    ['a part of more than 255 bytes', [{ name: 'n'.repeat(256) }, 'x']],
    ['a path of more than 1024 bytes', [{ name: `${'abcdefghi/'.repeat(103)}x` }, 'x']],
    ['folders nested 40 deep', [{ name: `${'d/'.repeat(40)}x` }, 'x']],
  ])('refuses %s and leaves no files', async (_what, ...entries) => {
    const bytes = await hostile(...entries);
    expect(await codeOfAsync(() => unpack(bytes))).toBe('ARCHIVE_UNSAFE');
    expect(existsSync(target)).toBe(false);
    expect(existsSync(join(folder, 'evil'))).toBe(false);
    expect(existsSync('/tmp/evil')).toBe(false);
  });

  it('refuses more bytes than allowed from the header, before it writes them', async () => {
    const bytes = await hostile([{ name: 'a' }, 'x'.repeat(600)], [{ name: 'b' }, 'x'.repeat(600)]);
    expect(await codeOfAsync(() => unpack(bytes, { maxBytes: 1000, maxEntries: 10 }))).toBe('ARCHIVE_UNSAFE');
    expect((await unpack(bytes, { maxBytes: 1200, maxEntries: 10 })).bytes).toBe(1200);
  });

  it.each([
    ['files', (i: number) => [{ name: `f${i}` }, 'x'] as [Header, string]],
    ['folders', (i: number) => [{ name: `d${i}`, type: 'directory' }] as [Header]],
    ['implied folders', (i: number) => [{ name: `a${i}/b/c/d` }, 'x'] as [Header, string]],
  ])('refuses more %s than allowed', async (_what, make) => {
    const bytes = await hostile(...Array.from({ length: 12 }, (_, i) => make(i)));
    expect(await codeOfAsync(() => unpack(bytes, { maxBytes: 1000, maxEntries: 11 }))).toBe('ARCHIVE_UNSAFE');
  });

  it('refuses endless bytes that belong to no file', async () => {
    let fed = 0;
    async function* zeros(): AsyncGenerator<Uint8Array> {
      for (;;) {
        fed += 65_536;
        yield new Uint8Array(65_536);
      }
    }
    expect(await codeOfAsync(() => unpackArchive(zeros(), target))).toBe('ARCHIVE_UNSAFE');
    expect(fed).toBeLessThan(4 * 1024 * 1024);
  });

  it.each([
    ['bytes that are not a tar', Buffer.alloc(2048, 'x')],
    ['a header with a wrong checksum', Buffer.concat([Buffer.from('name'), Buffer.alloc(1020)])],
  ])('refuses %s', async (_what, bytes) => {
    expect(await codeOfAsync(() => unpack(bytes))).toBe('ARCHIVE_UNSAFE');
  });

  it('refuses an archive that is cut inside a file or a header', async () => {
    const bytes = await hostile([{ name: 'a' }, 'x'.repeat(2000)], [{ name: 'b' }, 'y']);
    for (const length of [300, 600, 1500, 2600, 3000]) {
      expect(await codeOfAsync(() => unpack(bytes.subarray(0, length)))).toBe('ARCHIVE_UNSAFE');
    }
  });

  it('refuses an existing folder and does not change it', async () => {
    mkdirSync(target);
    writeFileSync(join(target, 'mine'), 'x');
    const bytes = await hostile([{ name: 'a' }, 'x']);
    expect(await codeOfAsync(() => unpack(bytes))).toBe('FILE_EXISTS');
    expect(readdirSync(target)).toEqual(['mine']);
  });

  it('throws the error of its source', async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(100);
      throw new RangeError('disk');
    }
    await expect(unpackArchive(broken(), target)).rejects.toThrow(RangeError);
    expect(existsSync(target)).toBe(false);
  });
});

describe('plainEntryName', () => {
  it.each([
    ['a', 'a'],
    ['./a/b/', 'a/b'],
    ['././a', 'a'],
    ['.', ''],
    ['./', ''],
    ['..a/.b', '..a/.b'],
  ])('writes %j as %j', (name, plain) => {
    expect(plainEntryName(name)).toBe(plain);
  });

  it.each(['', '/', '..', 'a//b', 'a/./b', 'a/..', '/a', './/../a', 'a\u0000b', '\ufffd'])(
    'refuses %j',
    (name) => {
      expect(codeOf(() => plainEntryName(name))).toBe('ARCHIVE_UNSAFE');
    },
  );
});
