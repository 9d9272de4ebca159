import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runComputation } from './computation-run.ts';
import { canRun } from './support.ts';

const PREFACE =
  '#!/usr/bin/python3\nimport os, socket, stat\nos.chdir("/cocos/results")\nopen("kept", "w").write("k")\n';

/** The receipt's count of omitted entries; none if it has none. */
function omittedIn(receipt: { readonly bytes: Uint8Array } | null): number {
  const fields = JSON.parse(Buffer.from(receipt?.bytes ?? []).toString()) as Record<string, unknown>;
  return Number(fields['omittedEntries'] ?? 0);
}

describe.skipIf(!canRun)('a result with an unusual entry', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'cocos-o-'));
    await chmod(folder, 0o711);
  });

  afterEach(() => rm(folder, { recursive: true, force: true }));

  it.each<[string, string, number]>([
    ['a link to a result', 'os.symlink("kept", "link")', 0],
    ['an absolute link', 'os.symlink("/etc/passwd", "odd")', 1],
    ['a link out of the folder', 'os.symlink("../../../../../etc/passwd", "odd")', 1],
    ['a link to a folder', 'os.mkdir("d"); os.symlink("d", "odd")', 1],
    ['a dangling link', 'os.symlink("nope", "odd")', 1],
    ['a link to itself', 'os.symlink("odd", "odd")', 1],
    ['a pipe', 'os.mkfifo("odd")', 1],
    ['a socket', 's = socket.socket(socket.AF_UNIX); s.bind("odd")', 1],
    ['a name that is not UTF-8', 'open(b"odd\\xe9", "w").write("x")', 1],
    ['a newline in a name', 'open("odd\\nname", "w").write("x")', 1],
    ['a tab and a backslash in names', 'open("odd\\tname", "w"); open("odd\\\\name", "w")', 2],
    [
      'a very deep path',
      'for i in range(200): os.mkdir("odd"); os.chdir("odd")\nopen("x", "w").write("x")',
      1,
    ],
    ['an escape sequence in a name', 'open("odd\\x1b[2J", "w")', 1],
  ])('keeps the rest beside %s', async (_what, source, omitted) => {
    const lines: string[] = [];
    const { state, results } = await runComputation(folder, PREFACE + source, (line) => lines.push(line));
    expect(state).toBe('resultsReady');
    expect(omittedIn(results.receipt)).toBe(omitted);
    const named = lines.filter((line) => line.startsWith('cocos: left out of the result'));
    expect(named).toHaveLength(omitted);
    for (const line of named) {
      expect(line).toContain('odd');
      expect(line).toMatch(/^[\x20-\x7e]*$/);
    }
  });

  it('bounds the log lines about omitted entries', async () => {
    const lines: string[] = [];
    const source = 'for i in range(3000): os.symlink("/", f"odd{i}")';
    const { results } = await runComputation(folder, PREFACE + source, (line) => lines.push(line));
    expect(omittedIn(results.receipt)).toBe(3000);
    expect(lines.filter((line) => line.includes('left out of the result')).length).toBeLessThan(110);
  });
});
