import { execFile, execFileSync } from 'node:child_process';
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The tree that git knows, with the installed packages of this one. */
function copyOfTree(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'cocos-checks-'));
  const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  for (const file of files.split('\n').filter((each) => each !== '')) {
    mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
    cpSync(path.join(ROOT, file), path.join(folder, file));
  }
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'));
  execFileSync('git', ['init', '-q'], { cwd: folder });
  execFileSync('git', ['add', '-A'], { cwd: folder });
  return folder;
}

/** Exit code and output of a program that is expected to fail. */
async function run(program: string, args: readonly string[], cwd: string, env = process.env) {
  const failure = await promisify(execFile)(program, args, { cwd, env, maxBuffer: 2 ** 26 }).then(
    () => null,
    (thrown: unknown) => Failure.parse(thrown),
  );
  return failure ?? { code: 0, stdout: '' };
}
const Failure = z.object({ code: z.number(), stdout: z.string() });

describe('continuous integration', () => {
  let tree: string;
  beforeAll(() => {
    tree = copyOfTree();
  });
  afterAll(() => rmSync(tree, { recursive: true, force: true }));

  it('a planted fault of each kind fails the check that looks for it', async () => {
    const plant = (file: string, text: string) => appendFileSync(path.join(tree, file), text);
    plant('src/cli/files.ts', '\nexport const planted: number = "text";\n');
    plant('src/cli/output.ts', '\nexport function planted(value: any): void {\n  debugger;\n}\n');
    plant('src/machines/state-name.ts', "\nimport 'node:fs';\n");
    plant('docs/errors.md', '\nstale\n');
    plant('docs/operator.md', ['\nA vtpm', 'stock.\n'].join('-'));
    const { code, stdout } = await run(path.join(tree, 'node_modules/.bin/tsx'), ['scripts/check.ts'], tree);
    expect(code).toBe(1);
    const failed = [...stdout.matchAll(/^FAILED {2}(.+)$/gm)].map((match) => match[1]);
    expect(failed).toEqual(
      expect.arrayContaining(['types', 'lint and format', 'import rules', 'terms', 'generated pages']),
    );
    expect(stdout).toMatch(/^ok {6}contracts$/m);
  });

  it('no test runs after a failed check', async () => {
    const bin = path.join(tree, 'bin');
    mkdirSync(bin);
    writeFileSync(path.join(bin, 'npm'), '#!/bin/sh\necho "npm $*"\ntest "$*" != "run check"\n', {
      mode: 0o755,
    });
    const env = { ...process.env, PATH: `${bin}:${process.env['PATH']}` };
    const { code, stdout } = await run('bash', ['.ci/run'], tree, env);
    expect(code).toBe(1);
    expect(stdout).toBe('npm run check\n');
  });
});
