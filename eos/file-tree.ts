import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

/** One entry of a tree; times and owners are not kept since an image gives all entries the same. */
export type TreeEntry =
  | { readonly kind: 'folder'; readonly mode: number }
  | { readonly kind: 'file'; readonly mode: number; readonly bytes: Uint8Array }
  | { readonly kind: 'link'; readonly target: string }
  | { readonly kind: 'device'; readonly mode: number; readonly major: number; readonly minor: number };

/**
 * A file tree in memory, in which nothing of the building machine shows: modes are set by rule and not
 * by umask, and names are in byte order.
 */
export class FileTree {
  readonly #entries = new Map<string, TreeEntry>();

  /** All entries, parents before children, as `[path without leading slash, entry]`. */
  entries(): [string, TreeEntry][] {
    return [...this.#entries].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  }

  addFolder(path: string, mode = 0o755): void {
    this.#set(path, { kind: 'folder', mode });
  }

  addFile(path: string, bytes: Uint8Array | string, mode = 0o644): void {
    this.#set(path, { kind: 'file', mode, bytes: typeof bytes === 'string' ? Buffer.from(bytes) : bytes });
  }

  addLink(path: string, target: string): void {
    this.#set(path, { kind: 'link', target });
  }

  addDevice(path: string, major: number, minor: number, mode: number): void {
    this.#set(path, { kind: 'device', mode, major, minor });
  }

  /**
   * Adds the files and links below `folder` whose path (without leading slash) `keep` accepts. A file is
   * 0755 when its owner may execute it and 0644 otherwise.
   */
  addFrom(folder: string, keep: (path: string) => boolean): void {
    const visit = (relative: string): void => {
      for (const name of readdirSync(join(folder, relative))) {
        const path = relative === '' ? name : `${relative}/${name}`;
        const stat = lstatSync(join(folder, path));
        if (stat.isDirectory()) visit(path);
        else if (!keep(path)) continue;
        else if (stat.isSymbolicLink()) this.addLink(path, readlinkSync(join(folder, path)));
        else if (stat.isFile()) {
          this.addFile(path, readFileSync(join(folder, path)), (stat.mode & 0o100) === 0 ? 0o644 : 0o755);
        }
      }
    };
    visit('');
  }

  /** Writes the tree below `folder`, which must not exist yet; device nodes are refused. */
  writeTo(folder: string): void {
    mkdirSync(folder, { recursive: true });
    chmodSync(folder, 0o755);
    for (const [path, entry] of this.entries()) {
      const target = join(folder, path);
      if (entry.kind === 'device') throw new Error(`a device node cannot be staged: ${path}`);
      if (entry.kind === 'link') symlinkSync(entry.target, target);
      else if (entry.kind === 'folder') mkdirSync(target);
      else writeFileSync(target, entry.bytes);
      // chmod, since the mode given at creation is cut by the umask.
      if (entry.kind !== 'link') chmodSync(target, entry.mode);
    }
  }

  #set(path: string, entry: TreeEntry): void {
    for (let parent = dirname(path); parent !== '.' && !this.#entries.has(parent); parent = dirname(parent)) {
      this.#entries.set(parent, { kind: 'folder', mode: 0o755 });
    }
    this.#entries.set(path, entry);
  }
}
