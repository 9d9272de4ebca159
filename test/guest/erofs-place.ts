import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { unpackPackages } from '../../eos/unpack.ts';
import { ensurePinnedPackages } from '../../setup/pinned-packages.mjs';

const LIBRARIES = 'usr/lib/x86_64-linux-gnu';
/** The program's package and those of its libraries. */
const NEEDED = [
  ...['erofs-utils', 'libc6', 'libdeflate0', 'liblz4-1', 'liblzma5'],
  ...['libpcre2-8-0', 'libselinux1', 'libxxhash0', 'libzstd1'],
];
/** First extent in the listing: `0: <logical range> | <length> : <physical begin>..<end> | <length>`. */
const FIRST_EXTENT = /^\s*0:.*?:\s*(\d+)\.\.\s*\d+\s*\|/m;

/**
 * Byte offset in an EROFS image of the first compressed data of a file, by dump.erofs of the pinned package.
 *
 * @param work folder for the unpacked package
 */
export function placeOf(file: string, image: string, work: string): number {
  const { packages: list } = ensurePinnedPackages({ log: () => undefined });
  const tools = list.filter(({ wish }) => NEEDED.includes(wish));
  const packages = unpackPackages(tools, mkdtempSync(join(work, 'erofs-')));
  const libraries = tools.map(({ wish }) => join(packages.folder(wish), LIBRARIES));
  const listing = execFileSync(
    join(packages.folder('libc6'), LIBRARIES, 'ld-linux-x86-64.so.2'),
    [
      ...['--library-path', libraries.join(':')],
      ...[join(packages.folder('erofs-utils'), 'usr/bin/dump.erofs'), '-e', `--path=${file}`, image],
    ],
    { encoding: 'utf8' },
  );
  const place = FIRST_EXTENT.exec(listing)?.[1];
  if (place === undefined) throw new Error(`dump.erofs lists no extent of ${file}: ${listing}`);
  return Number(place);
}
