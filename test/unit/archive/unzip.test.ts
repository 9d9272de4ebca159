import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEFAULT_ARCHIVE_LIMITS } from '../../../src/archive/limits.ts';
import { unpackArchive } from '../../../src/archive/unpack.ts';
import { zipAsTar } from '../../../src/archive/unzip.ts';
import { CocosError } from '../../../src/errors.ts';

/** Zips of Python's zipfile, unpacked through the tar that stands for them. */

let folder: string;
const at = (name: string) => path.join(folder, name);

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'cocos-unzip-'));
  mkdirSync(at('tree/lib'), { recursive: true });
  writeFileSync(at('tree/main.py'), 'x'.repeat(10_000));
  writeFileSync(at('tree/lib/run.sh'), '#!/bin/sh\n', { mode: 0o755 });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs Python with `z`, an open zip, and returns its bytes. */
function zipOf(code: string): Buffer {
  const script = `import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED)\n${code}\nz.close()`;
  execFileSync('python3', ['-W', 'ignore', '-c', script, at('made.zip')], { cwd: at('tree') });
  return readFileSync(at('made.zip'));
}

let unpacked = 0;
async function unpack(zip: Buffer, maxBytes = DEFAULT_ARCHIVE_LIMITS.maxBytes): Promise<string> {
  const out = at(`out-${unpacked++}`);
  const limits = { ...DEFAULT_ARCHIVE_LIMITS, maxBytes };
  await unpackArchive(zipAsTar(zip, limits), out, limits);
  return out;
}
const codeOf = (zip: Buffer, maxBytes?: number) =>
  unpack(zip, maxBytes).then(
    () => 'nothing',
    (thrown: unknown) => (thrown instanceof CocosError ? thrown.code : String(thrown)),
  );
const TREE = "z.write('main.py')\nz.write('lib')\nz.write('lib/run.sh')\nz.comment = b'a comment'";

describe('zipAsTar', () => {
  it('keeps content, folders and the execute bit', async () => {
    const out = await unpack(zipOf(TREE));
    expect(readFileSync(path.join(out, 'main.py'), 'utf8')).toBe('x'.repeat(10_000));
    expect(statSync(path.join(out, 'lib/run.sh')).mode & 0o777).toBe(0o755);
    expect(statSync(path.join(out, 'main.py')).mode & 0o777).toBe(0o644);
  });

  it.each<[string, string]>([
    ['a path outside', "z.writestr('../x', 'y')"],
    ['an absolute path', "z.writestr('/x', 'y')"],
    ['a name twice', "z.writestr('x', 'y')\nz.writestr('x', 'z')"],
    ['a backslash in a name', "z.writestr('a\\\\b', 'y')"],
    [
      'a link',
      "i = zipfile.ZipInfo('l'); i.create_system = 3; i.external_attr = 0o120777 << 16\nz.writestr(i, '/etc/passwd')",
    ],
    ['another compression', "z.writestr('x', 'y' * 1000, compress_type=zipfile.ZIP_BZIP2)"],
  ])('refuses %s', async (_what, code) => {
    expect(await codeOf(zipOf(code))).toBe('ARCHIVE_UNSAFE');
  });

  it('refuses content beyond the limit before it inflates it', async () => {
    expect(await codeOf(zipOf("z.writestr('x', b'0' * 2**20)"), 2 ** 19)).toBe('ARCHIVE_UNSAFE');
  });

  it('unpacks or refuses a zip with any byte altered or cut off, and never fails in another way', async () => {
    const zip = zipOf(TREE);
    const outcomes = new Set<string>();
    for (let position = 0; position < zip.length; position += 1) {
      const altered = Buffer.from(zip);
      altered[position] = (altered[position] ?? 0) ^ 0xff;
      outcomes.add(await codeOf(altered));
      if (position % 7 === 0) outcomes.add(await codeOf(zip.subarray(0, position)));
    }
    expect([...outcomes].sort()).toEqual(['ARCHIVE_UNSAFE', 'nothing']);
  });
});
