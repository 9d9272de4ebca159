import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runCli } from '../../fakes/cli.ts';

let folder: string;
const at = (name: string) => path.join(folder, name);
const sum = (file: string) => execFileSync('sha256sum', [at(file)], { encoding: 'utf8' }).slice(0, 64);

/** A folder of an image, with the sums that coreutils write. */
function image(name: string, files: Readonly<Record<string, string>>): string {
  mkdirSync(at(name));
  for (const [file, text] of Object.entries(files)) writeFileSync(path.join(at(name), file), text);
  const sums = execFileSync('sha256sum', Object.keys(files), { cwd: at(name) });
  writeFileSync(path.join(at(name), 'SHA256SUMS'), sums);
  return at(name);
}

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'cocos-eos-diff-'));
  image('one', { kernel: 'k', initrd: 'i', old: 'o' });
  image('same', { old: 'o', kernel: 'k', initrd: 'i' });
  image('other', { kernel: 'K', initrd: 'i', added: 'a' });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('eos diff lists the files in which two images differ, in the order of their names', async () => {
  expect(await runCli('eos', 'diff', at('one'), at('same'))).toMatchObject({
    exit: 0,
    json: { changed: [] },
  });
  const { exit, json, text } = await runCli('eos', 'diff', at('one'), at('other'));
  expect({ exit, json }).toEqual({
    exit: 1,
    json: {
      changed: [
        { name: 'added', a: null, b: sum('other/added') },
        { name: 'kernel', a: sum('one/kernel'), b: sum('other/kernel') },
        { name: 'old', a: sum('one/old'), b: null },
      ],
    },
  });
  expect(text).toMatch(/^old +[0-9a-f]{64} +absent$/m);
});
