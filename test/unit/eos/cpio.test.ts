import { describe, expect, it } from 'vitest';
import { writeCpio } from '../../../eos/cpio.ts';
import { FileTree } from '../../../eos/file-tree.ts';

// Fields as in Linux Documentation/driver-api/early-userspace/buffer-format.rst: magic, ino, mode, uid, gid,
// nlink, mtime, filesize, maj, min, rmaj, rmin, namesize, chksum, each eight hexadecimal digits.
const FILE = `070701${'00000001'}${'000081ED'}${'00000000'.repeat(2)}${'00000001'}${'00000000'}${'00000003'}`;
const FILE_REST = `${'00000000'.repeat(4)}${'00000002'}${'00000000'}`;
const TRAILER = `070701${'00000000'.repeat(4)}${'00000001'}${'00000000'.repeat(6)}${'0000000B'}${'00000000'}`;

describe('writeCpio', () => {
  it('writes the newc format that the kernel unpacks', () => {
    const tree = new FileTree();
    tree.addFile('a', 'xyz', 0o755);
    const expected = `${FILE}${FILE_REST}a\0xyz\0${TRAILER}TRAILER!!!\0\0\0\0`;
    expect(writeCpio(tree).toString('latin1')).toBe(expected);
  });

  it('writes the type and the numbers of a device node', () => {
    const tree = new FileTree();
    tree.addDevice('console', 5, 1, 0o600);
    const text = writeCpio(tree).toString('latin1');
    expect(text.slice(14, 22)).toBe('00002180');
    expect(text.slice(78, 94)).toBe('0000000500000001');
  });

  it('depends only on the content and not on the order of insertion', () => {
    const one = new FileTree();
    one.addFile('b/x', '1');
    one.addLink('a', 'b');
    const other = new FileTree();
    other.addLink('a', 'b');
    other.addFile('b/x', '1');
    expect(writeCpio(one).equals(writeCpio(other))).toBe(true);
  });
});
