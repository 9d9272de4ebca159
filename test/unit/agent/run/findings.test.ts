import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findingsFile, hasFindings } from '../../../findings.ts';
import { runComputation } from './computation-run.ts';
import { canRun } from './support.ts';

/** The algorithms that once lost a result or the reason of a failure. */

describe.skipIf(!canRun || !hasFindings)('an algorithm of the findings', () => {
  let folder: string;
  let lines: string[];

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'cocos-findings-'));
    await chmod(folder, 0o711);
    lines = [];
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const run = (source: string, ...args: string[]) => {
    const digest = `sha256:${'0'.repeat(64)}`;
    const algorithm = { kind: 'python', digest, provider: `ed25519:${'A'.repeat(43)}`, arguments: args };
    return runComputation(folder, source, (line) => lines.push(line), { algorithm });
  };
  const file = (...names: string[]) => readFileSync(findingsFile(...names), 'utf8');
  const isRoot = process.getuid?.() === 0;

  it.each<[string, number]>([
    ['symlink', 0],
    ['abslink', 1],
    ['dangling', 1],
    ['hardlink', 0],
    ['fifo', 1],
    ['sock', 1],
    // The agent of a guest is root, and reads what belongs to the algorithm.
    ['mode0', isRoot ? 0 : 1],
    ['dir0', isRoot ? 0 : 1],
    ['newline', 2],
    ['nonutf8', 1],
    ['emptydir', 0],
    ['long', 0],
    ['name255', 0],
    ['setuid', 0],
    ['many', 0],
    ['manydirs', 0],
    ['case', 0],
    ['dots', 1],
    ['nfc', 0],
    ['bigfile', 0],
    ['oldmtime', 0],
    ['deep', 1],
    ['growing', 0],
    ['nothing of these', 0],
  ])(
    'keeps the rest of a result with odd entries (%s), and counts and names what it leaves out',
    async (variant, omitted) => {
      const { state, results } = await run(file('inputs', 'odd-results.py'), variant);
      expect({ state, lines: state === 'resultsReady' ? [] : lines }).toEqual({
        state: 'resultsReady',
        lines: [],
      });
      expect(lines.filter((line) => line.startsWith('cocos: left out of the result'))).toHaveLength(omitted);
      const receipt: unknown = JSON.parse(Buffer.from(results.receipt?.bytes ?? []).toString());
      expect(Object(receipt).omittedEntries ?? 0).toBe(omitted);
    },
  );

  it('ends at its disk limit if a file without content is larger than that', async () => {
    const { state, context } = await run(file('inputs', 'odd-results.py'), 'sparse');
    expect(state).toBe('failed');
    expect(context.cause).toMatchObject({ code: expect.stringMatching(/^ALGORITHM_/) });
  });

  it('shows the beginning and the end of a long log, with the reason of its failure', async () => {
    const { state } = await run(file('inputs', 'log-tail-lost.py'), '12000');
    expect(state).toBe('failed');
    expect(lines).toContain('epoch 0 loss 0.1');
    expect(lines).toContain('epoch 11999 loss 0.1');
    expect(lines).toContain('ValueError: the column price is missing');
    const dropped = lines.flatMap((line) => /^\[(\d+) lines are left out here\]$/.exec(line)?.[1] ?? []);
    const shown = lines.filter((line) => line.startsWith('epoch ')).length;
    expect(dropped.reduce((sum, count) => sum + Number(count), shown)).toBe(12_000);
  });

  it('knows the name of its user, as libraries ask for it', async () => {
    await run('import getpass\nprint("user", getpass.getuser())\n');
    expect(lines).toContain('user nobody');
  });
});
