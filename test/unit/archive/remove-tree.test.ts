import { spawnSync } from 'node:child_process';
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
import { removeTree } from '../../../src/archive/remove-tree.ts';

let base: string;
beforeEach(() => {
  base = mkdtempSync(path.join(tmpdir(), 'cocos-tree-'));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

/** What Node.js cannot make is made by a shell, which changes into each folder. */
function shell(script: string): void {
  const { status, stderr } = spawnSync('sh', ['-c', script], { cwd: base, encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
}

describe('removing a tree', () => {
  it('removes chains of folders whose path is longer than any call takes', async () => {
    const name = 'd'.repeat(250);
    shell(
      `mkdir tree && cd tree && for i in $(seq 20); do mkdir ${name} && cd -P ${name}; done; : > file; : > other`,
    );
    await removeTree(path.join(base, 'tree'));
    expect(readdirSync(base)).toEqual([]);
  });

  it('removes folders that nobody may enter or write to, and files that nobody may read', async () => {
    shell('mkdir -p tree/a/b tree/c && : > tree/a/b/f && chmod 000 tree/a/b/f tree/a/b tree/a tree/c tree');
    await removeTree(path.join(base, 'tree'));
    expect(readdirSync(base)).toEqual([]);
  });

  it('removes links, pipes and sockets themselves, and nothing that a link leads to', async () => {
    mkdirSync(path.join(base, 'tree/inner'), { recursive: true });
    mkdirSync(path.join(base, 'kept'));
    writeFileSync(path.join(base, 'kept/file'), 'kept');
    symlinkSync('../kept', path.join(base, 'tree/link'));
    symlinkSync('../../kept', path.join(base, 'tree/inner/link'));
    symlinkSync('nowhere', path.join(base, 'tree/inner/broken'));
    shell('mkfifo tree/inner/pipe');
    await removeTree(path.join(base, 'tree'));
    expect(readdirSync(base)).toEqual(['kept']);
    expect(readFileSync(path.join(base, 'kept/file'), 'utf8')).toBe('kept');
    symlinkSync('kept', path.join(base, 'root-link'));
    await removeTree(path.join(base, 'root-link'));
    expect(existsSync(path.join(base, 'kept/file'))).toBe(true);
  });

  it('removes files and folders whose names are not text', async () => {
    const name = Buffer.from([0x2f, 0xff, 0xfe, 0x41]);
    const root = path.join(base, 'tree');
    mkdirSync(root);
    mkdirSync(Buffer.concat([Buffer.from(root), name]));
    writeFileSync(Buffer.concat([Buffer.from(root), name, name]), '');
    await removeTree(root);
    expect(readdirSync(base)).toEqual([]);
  });

  it('does nothing where there is no tree', async () => {
    await expect(removeTree(path.join(base, 'none'))).resolves.toBeUndefined();
  });
});
