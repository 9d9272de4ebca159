import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packZip } from '../../../src/archive/zip.ts';
import { encodePrivateKeyFile, encodePublicKeyFile } from '../../../src/crypto/key-file.ts';
import { generateParticipantKeys } from '../../../src/crypto/keys.ts';
import { runCli } from '../../fakes/cli.ts';
import { referenceJson } from '../../fakes/emulated-host.ts';
import { collect } from '../crypto/support.ts';

/** Algorithms as a folder and as archives of other programs. */

let folder: string;
const at = (name: string) => path.join(folder, name);

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'cocos-algorithm-'));
  const keys = generateParticipantKeys();
  writeFileSync(at('ann.key'), encodePrivateKeyFile({ name: 'ann', keys }), { mode: 0o600 });
  writeFileSync(at('ann.pub'), encodePublicKeyFile('ann', keys));
  writeFileSync(at('policy'), JSON.stringify({ version: 1, platforms: ['snp'] }));
  writeFileSync(at('reference'), JSON.stringify(referenceJson));
  const tree = at('tree');
  mkdirSync(path.join(tree, 'lib'), { recursive: true });
  writeFileSync(path.join(tree, 'main.py'), 'import lib.a\n');
  writeFileSync(path.join(tree, 'lib/a.py'), `x = "${'a'.repeat(5_000)}"\n`);
  writeFileSync(path.join(tree, 'run.sh'), '#!/bin/sh\n', { mode: 0o755 });
  mkdirSync(at('outer'));
  cpSync(tree, at('outer/project'), { recursive: true });
  const tar = (...args: string[]) => execFileSync('tar', args, { cwd: folder });
  tar('-czf', 'flat.tar.gz', '-C', 'tree', '.');
  tar('-czf', 'nested.tgz', '-C', 'outer', 'project');
  tar('-cf', 'nested.tar', '-C', 'outer', 'project');
  const zip = (name: string, root: string) =>
    execFileSync('python3', [
      '-c',
      'import shutil, sys; shutil.make_archive(*sys.argv[1:])',
      at(name),
      'zip',
      root,
    ]);
  zip('flat', tree);
  zip('nested', at('outer'));
  writeFileSync(at('stored.zip'), Buffer.concat(await collect(packZip(tree))));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let made = 0;
async function create(source: string, kind = 'python', ...more: string[]) {
  const out = at(`manifest-${made++}`);
  const key = at('ann.pub');
  const { json, error, exit } = await runCli(
    ...['manifest', 'create', '--name', 'x', '--id', 'x', '--kind', kind, '--consumer', key],
    ...['--algorithm', `${at(source)}@${key}`, '--out', out, ...more],
  );
  const { digest } = Object(json);
  return { out, digest, error, exit };
}

const trust = (manifest: string) => [
  ...['--manifest', manifest, '--key', at('ann.key'), '--policy', at('policy')],
  ...['--reference', at('reference')],
];

/** No manager answers, so an error of the file shows that it was found before anything was sent. */
async function send(manifest: string, file: string): Promise<string | undefined> {
  return (await runCli('algo', 'enclave', at(file), ...trust(manifest))).error;
}

describe('an algorithm in an archive', () => {
  it.each(['flat.tar.gz', 'nested.tgz', 'nested.tar', 'flat.zip', 'nested.zip', 'stored.zip', 'outer'])(
    'as %s has the digest of its folder, and can be sent for the manifest of the folder',
    async (source) => {
      const expected = await create('tree');
      expect(expected.exit).toBe(0);
      expect((await create(source)).digest).toBe(expected.digest);
      expect(await send(expected.out, source)).toBe('MANAGER_UNAVAILABLE');
    },
  );

  it('leaves no unpacked copy behind', async () => {
    const before = readdirSync(tmpdir()).filter((name) => name.startsWith('cocosai-algorithm-'));
    await create('nested.zip');
    const after = readdirSync(tmpdir()).filter((name) => name.startsWith('cocosai-algorithm-'));
    expect(after).toEqual(before);
  });
});

describe('a malformed algorithm', () => {
  it.each<[string, string, () => void, string]>([
    ['an archive without main.py', 'python', () => packed('other.py'), 'ALGORITHM_INVALID'],
    ['a folder without main.py', 'python', () => mkdirSync(at('bad')), 'ALGORITHM_INVALID'],
    [
      'a damaged gzip',
      'python',
      () => writeFileSync(at('bad'), '\x1f\x8bnothing', 'latin1'),
      'ARCHIVE_UNSAFE',
    ],
    [
      'a damaged zip',
      'python',
      () => writeFileSync(at('bad'), 'PK\x03\x04nothing', 'latin1'),
      'ARCHIVE_UNSAFE',
    ],
    ['an archive with a link', 'python', () => packed('main.py', true), 'ARCHIVE_UNSAFE'],
    [
      'bytes that are no source',
      'python',
      () => writeFileSync(at('bad'), Buffer.alloc(9)),
      'ALGORITHM_INVALID',
    ],
    ['a text', 'binary', () => writeFileSync(at('bad'), 'hello'), 'ALGORITHM_INVALID'],
    [
      'an ELF file for another processor',
      'binary',
      () => writeFileSync(at('bad'), elf(40)),
      'ALGORITHM_INVALID',
    ],
    ['a folder as a program', 'binary', () => mkdirSync(at('bad')), 'ALGORITHM_INVALID'],
    ['a text as a module', 'wasm', () => writeFileSync(at('bad'), 'hello'), 'ALGORITHM_INVALID'],
  ])('is rejected before anything is sent: %s', async (_what, kind, make, code) => {
    rmSync(at('bad'), { recursive: true, force: true });
    make();
    const digest = `sha256:${'0'.repeat(64)}`;
    const out = at(`manifest-${made++}`);
    const key = at('ann.pub');
    const created = await runCli(
      ...['manifest', 'create', '--name', 'x', '--kind', kind, '--consumer', key],
      ...['--algorithm', `${digest}@${key}`, '--out', out],
    );
    expect(created.exit).toBe(0);
    expect(await send(out, 'bad')).toBe(code);
  });
});

/** A tar.gz with one file, and a link if wanted. */
function packed(name: string, withLink = false): void {
  const source = mkdtempSync(path.join(folder, 'packed-'));
  writeFileSync(path.join(source, name), '');
  if (withLink) symlinkSync('/etc/passwd', path.join(source, 'link'));
  execFileSync('tar', ['-czf', at('bad'), '-C', source, '.']);
}

function elf(machine: number): Buffer {
  const head = Buffer.alloc(64);
  head.write('\x7fELF', 'latin1');
  head.set([2, 1], 4);
  head.writeUInt16LE(2, 16);
  head.writeUInt16LE(machine, 18);
  return head;
}
