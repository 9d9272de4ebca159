import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const README = readFileSync(path.join(ROOT, 'README.md'), 'utf8');

describe('the README', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'cocos-readme-'));
  const bin = path.join(folder, 'bin');
  beforeAll(() => {
    mkdirSync(bin);
    // What `npm link` does, without touching the machine's global folder.
    for (const program of ['cocos-cli', 'cocos-manager']) {
      const file = path.join(bin, program);
      writeFileSync(file, `#!/bin/sh\nexec '${process.execPath}' '${ROOT}/dist/${program}.js' "$@"\n`);
      chmodSync(file, 0o755);
    }
    for (const name of ['dist', 'examples']) symlinkSync(path.join(ROOT, name), path.join(folder, name));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('every shell block of the quick start works as written, in one shell', async () => {
    const blocks = [...README.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? '');
    expect(blocks.length).toBeGreaterThanOrEqual(4);
    const script = `set -euo pipefail\ntrap 'kill $(jobs -p)' EXIT\n${blocks.join('\n')}`;
    // Rejects with everything that was printed, unless the script exits 0.
    await promisify(execFile)('bash', ['-c', script], {
      cwd: folder,
      env: {
        PATH: `${bin}:${process.env['PATH']}`,
        HOME: folder,
        COCOSAI_STATE_DIR: path.join(folder, 'state'),
        COCOSAI_RUN_DIR: path.join(folder, 'run'),
      },
    });
    const result: unknown = JSON.parse(readFileSync(path.join(folder, 'result/regression.json'), 'utf8'));
    // Least squares of (8, 5.1), (12, 9), (16, 14.2), by hand.
    expect(result).toMatchObject({ rows: 3, slope: expect.closeTo(1.1375, 9) });
  });

  it('every npm script that the README names exists', () => {
    const { scripts } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
    const named = [...README.matchAll(/npm run ([a-z:]+)/g)].map((match) => match[1]);
    expect(named.length).toBeGreaterThan(2);
    for (const name of named) expect(scripts).toHaveProperty([name ?? '']);
  });

  it('every file that the README links to exists', () => {
    const links = [...README.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)].map((match) => match[1] ?? '');
    expect(links.length).toBeGreaterThan(8);
    for (const link of links) expect(() => readFileSync(path.join(ROOT, link))).not.toThrow(/ENOENT/);
  });
});
