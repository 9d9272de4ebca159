import type { FileTree, TreeEntry } from './file-tree.ts';

const TYPE_BITS = { folder: 0o040000, file: 0o100000, link: 0o120000, device: 0o020000 } as const;

/**
 * The tree as a cpio archive in the `newc` form that the kernel unpacks (Linux
 * Documentation/driver-api/early-userspace/buffer-format.rst): owner root, time 0, inode numbers in order.
 *
 * Written here and not by cpio(1), so that neither its version nor the file system leaves a trace.
 */
export function writeCpio(tree: FileTree): Buffer {
  const parts: Buffer[] = [];
  let inode = 1;
  for (const [path, entry] of tree.entries()) parts.push(record(path, entry, inode++));
  parts.push(record('TRAILER!!!', { kind: 'file', mode: 0, bytes: new Uint8Array() }, 0));
  return Buffer.concat(parts);
}

function record(path: string, entry: TreeEntry, inode: number): Buffer {
  const body =
    entry.kind === 'file'
      ? entry.bytes
      : entry.kind === 'link'
        ? Buffer.from(entry.target)
        : new Uint8Array();
  const mode = inode === 0 ? 0 : TYPE_BITS[entry.kind] | (entry.kind === 'link' ? 0o777 : entry.mode);
  const [major, minor] = entry.kind === 'device' ? [entry.major, entry.minor] : [0, 0];
  const name = Buffer.from(`${path}\0`);
  const links = entry.kind === 'folder' ? 2 : 1;
  const fields = [inode, mode, 0, 0, links, 0, body.length, 0, 0, major, minor, name.length, 0];
  const header = Buffer.from(
    `070701${fields.map((n) => n.toString(16).toUpperCase().padStart(8, '0')).join('')}`,
  );
  return Buffer.concat([padded(Buffer.concat([header, name])), padded(body)]);
}

/** Bytes filled with zeros to a multiple of four. */
function padded(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}
