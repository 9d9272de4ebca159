import { lstatSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FileTree } from '../../../eos/file-tree.ts';

describe('FileTree', () => {
  it('lists folders before their content, in byte order', () => {
    const tree = new FileTree();
    tree.addFile('b/c/d', '');
    tree.addFile('B', '');
    tree.addFile('b-', '');
    expect(tree.entries().map(([path]) => path)).toEqual(['B', 'b', 'b-', 'b/c', 'b/c/d']);
  });

  it('writes files with the modes of the tree, independent of the umask', () => {
    const folder = mkdtempSync(join(tmpdir(), 'cocos-tree-'));
    const tree = new FileTree();
    tree.addFile('bin/run', '#!', 0o755);
    tree.addFile('secret', 'x', 0o600);
    const before = process.umask(0o077);
    try {
      tree.writeTo(join(folder, 'tree'));
    } finally {
      process.umask(before);
    }
    const mode = (path: string): number => lstatSync(join(folder, 'tree', path)).mode & 0o7777;
    expect([mode('.'), mode('bin'), mode('bin/run'), mode('secret')]).toEqual([0o755, 0o755, 0o755, 0o600]);
    expect(readFileSync(join(folder, 'tree/bin/run'), 'utf8')).toBe('#!');
    rmSync(folder, { recursive: true });
  });
});
