import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { VERSION } from '../../src/version.ts';
import { ROOT } from '../harness/system.ts';

const PROGRAMS = ['cocos-manager', 'cocos-agent', 'cocos-cli'];

describe('the programs', () => {
  /** A program whose state folder is empty before and after. */
  function run(program: string, ...args: string[]) {
    const folder = mkdtempSync(path.join(tmpdir(), 'cocos-p-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const result = spawnSync(process.execPath, [path.join(ROOT, 'dist', `${program}.js`), ...args], {
      encoding: 'utf8',
      env: { ...process.env, COCOSAI_STATE_DIR: folder, COCOSAI_RUN_DIR: path.join(folder, 'run') },
      timeout: 30_000,
    });
    expect(readdirSync(folder)).toEqual([]);
    return result;
  }

  it.each(PROGRAMS)('%s tells its usage when asked', (program) => {
    const { status, stdout, stderr } = run(program, '--help');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout.toLowerCase()).toContain(`usage: ${program}`);
    if (program === 'cocos-manager') expect(stdout).toContain('COCOSAI_STATE_DIR');
  });

  it.each(PROGRAMS)('%s tells its version when asked', (program) => {
    expect(run(program, '--version')).toMatchObject({ status: 0, stdout: `${VERSION}\n` });
  });

  it.each(
    PROGRAMS.flatMap((program) => ['--bogus', 'bogus'].map((argument) => [program, argument] as const)),
  )('%s refuses the unknown argument %s', (program, argument) => {
    const { status, stdout, stderr } = run(program, argument);
    expect({ status, stdout }).toEqual({ status: 64, stdout: '' });
    expect(stderr).toMatch(/^USAGE: /);
    expect(stderr).toContain(argument);
  });
});
