import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PublicCause } from '../../../../src/machines/public-cause.ts';
import { runComputation } from './computation-run.ts';
import { canRun } from './support.ts';

const SECRET = 'row-of-a-dataset';

/** The manager mirrors the context of the computation, so the host reads the cause of a failure. */
describe.skipIf(!canRun)('the cause of a failed run', () => {
  let folder: string;
  let lines: string[];

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'cocos-f-'));
    await chmod(folder, 0o711);
    lines = [];
  });

  afterEach(() => rm(folder, { recursive: true, force: true }));

  const run = async (script: string) =>
    (await runComputation(folder, script, (line) => lines.push(line))).context.cause;

  it.each([
    ['an error of bubblewrap', `bwrap: execvp ${SECRET}`],
    ['an error of prlimit', `prlimit: failed to execute ${SECRET}`],
    ['more than the agent keeps of it', `bwrap: execvp ${'A'.repeat(2030)}${SECRET.repeat(3000)}`],
  ])('does not depend on what the algorithm prints in the style of %s', async (_what, text) => {
    for (const exitCode of [1, 126, 127]) {
      const cause = await run(`#!/bin/sh\necho '${text}' >&2\nexit ${exitCode}\n`);
      expect(cause).toMatchObject({ code: 'ALGORITHM_FAILED', details: { exitCode } });
      expect(PublicCause.parse({ code: cause?.code, details: cause?.details })).toBeDefined();
      expect(JSON.stringify(cause)).not.toContain(SECRET);
      expect(JSON.stringify(cause).length).toBeLessThan(1024);
    }
    expect(lines.join()).toContain(SECRET);
  });

  it.each([
    ['ends by a signal', 'kill -SEGV $$', 'ALGORITHM_FAILED'],
    ['names its process after a secret', `exec -a ${SECRET} sh -c 'exit 3'`, 'ALGORITHM_FAILED'],
  ])('contains no text of an algorithm that %s', async (_what, script, code) => {
    const cause = await run(`#!/bin/bash\n${script}\n`);
    expect(cause?.code).toBe(code);
    expect(PublicCause.parse({ code: cause?.code, details: cause?.details })).toBeDefined();
    expect(JSON.stringify(cause)).not.toContain(SECRET);
  });

  it('does not contain the name of an interpreter that is missing', async () => {
    const cause = await run(`#!/usr/bin/${SECRET}\n`);
    expect(cause?.code).toBe('ALGORITHM_INVALID');
    expect(JSON.stringify(cause)).not.toContain(SECRET);
    expect(lines.join()).toContain(SECRET);
  });

  it('names the limit that the algorithm exceeded', async () => {
    const cause = await run('#!/bin/sh\nhead -c 400000000 /dev/zero > /cocos/results/x\n');
    expect(cause).toMatchObject({ code: 'ALGORITHM_LIMIT', details: { limit: 'disk' } });
  });
});
