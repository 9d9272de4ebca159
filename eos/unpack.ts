import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { runStep } from './run-step.ts';

/** One package of the cache, as `setup/pinned-packages.mjs` gives it. */
export interface PinnedPackage {
  /** Name in eos/packages.json. */
  readonly wish: string;
  readonly name: string;
  readonly version: string;
  readonly sha256: string;
  readonly use: string;
  /** Named in eos/packages.json, where the package itself holds no copyright file. */
  readonly licences?: readonly string[];
  /** The .deb file, its SHA-256 checked. */
  readonly path: string;
  /** Name and version of the locked package in whose place it was taken; null for the locked one itself. */
  readonly substitutes: string | null;
}

export interface UnpackedPackages {
  readonly list: readonly PinnedPackage[];
  /** Folder with the files of the package asked for under this name. */
  folder(wish: string): string;
  /** Folders of all packages of a use. */
  folders(use: string): string[];
}

/** Unpacks every package below `work`, each in a folder of its own. */
export function unpackPackages(list: readonly PinnedPackage[], work: string): UnpackedPackages {
  const folderOf = (wish: string): string => join(work, wish);
  mkdirSync(work, { recursive: true });
  for (const entry of list)
    runStep(`unpack ${entry.name}`, 'dpkg-deb', ['-x', entry.path, folderOf(entry.wish)]);
  return {
    list,
    folder(wish) {
      if (!list.some((entry) => entry.wish === wish)) throw new Error(`${wish} is not in eos/packages.json`);
      return folderOf(wish);
    },
    folders: (use) => list.filter((entry) => entry.use === use).map((entry) => folderOf(entry.wish)),
  };
}
