import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { VERSION } from '../../src/version.ts';
import { ROOT } from '../harness/system.ts';

const PROGRAMS = ['cocos-manager', 'cocos-agent', 'cocos-cli'];

/** Runs a program, whose state folder must be empty before and after. */
function run(program: string, args: readonly string[], nodeArgs: readonly string[] = []) {
  const folder = mkdtempSync(path.join(tmpdir(), 'cocos-p-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = path.join(ROOT, 'dist', `${program}.js`);
  const result = spawnSync(process.execPath, [...nodeArgs, file, ...args], {
    encoding: 'utf8',
    env: { ...process.env, COCOSAI_STATE_DIR: folder, COCOSAI_RUN_DIR: path.join(folder, 'run') },
    timeout: 30_000,
  });
  expect(readdirSync(folder)).toEqual([]);
  return result;
}

describe('the programs', () => {
  it.each(PROGRAMS)('%s prints its usage', (program) => {
    const { status, stdout, stderr } = run(program, ['--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout.toLowerCase()).toContain(`usage: ${program}`);
    if (program === 'cocos-manager') expect(stdout).toContain('COCOSAI_STATE_DIR');
  });

  it.each(PROGRAMS)('%s prints its version', (program) => {
    expect(run(program, ['--version'])).toMatchObject({ status: 0, stdout: `${VERSION}\n` });
  });

  it.each(
    PROGRAMS.flatMap((program) => ['--bogus', 'bogus'].map((argument) => [program, argument] as const)),
  )('%s refuses the unknown argument %s', (program, argument) => {
    const { status, stdout, stderr } = run(program, [argument]);
    expect({ status, stdout }).toEqual({ status: 64, stdout: '' });
    expect(stderr).toMatch(/^USAGE: /);
    expect(stderr).toContain(argument);
  });
});

describe('a defect of the command line', () => {
  /** Loaded before the program: the first output of the program also causes the defect. */
  const during = (defect: string) => {
    const code = `const write = process.stdout.write; process.stdout.write = function (...args) {
      process.stdout.write = write;
      ${defect};
      return write.apply(this, args);
    };`;
    return ['--import', `data:text/javascript,${encodeURIComponent(code)}`];
  };

  it.each([
    ['an unhandled rejection', "Promise.reject(new Error('boom'))"],
    ['an error in a callback', "setImmediate(() => { throw new Error('boom'); })"],
  ])('%s ends the process with a named error', (_what, defect) => {
    const { status, stderr } = run('cocos-cli', ['--version'], during(defect));
    expect(status).toBe(70);
    expect(stderr).toMatch(/^INTERNAL: .*boom/);
    const json = run('cocos-cli', ['keys', 'list', ROOT, '-o', 'json'], during(defect));
    expect(json.stdout).toMatch(/^\{"error":\{"code":"INTERNAL"/m);
  });
});
