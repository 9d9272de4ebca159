import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { paddedSize, publishedFailure, publishedMs } from '../../../../src/agent/run/disclosure.ts';
import { CocosError, ERRORS, type ErrorCode } from '../../../../src/errors.ts';
import { Manifest } from '../../../../src/machines/manifest.ts';
import { systemClock } from '../../../../src/runtime/clock.ts';
import { runComputation } from './computation-run.ts';
import { canRun } from './support.ts';

describe.skipIf(!canRun)('the disclosure of a manifest', () => {
  let folder: string;
  let lines: string[];

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'cocos-x-'));
    await chmod(folder, 0o711);
    lines = [];
  });

  afterEach(() => rm(folder, { recursive: true, force: true }));

  const run = (script: string, disclosure: Manifest['disclosure']) =>
    runComputation(folder, `#!/bin/sh\n${script}\n`, (line) => lines.push(line), { disclosure });

  it('hides from the host how an algorithm failed, and tells its consumers', async () => {
    const shown = [];
    for (const script of [
      'exit 3',
      'exit 200',
      'kill -9 $$',
      'head -c 400000000 /dev/zero > /cocos/results/x',
    ]) {
      const { state, context } = await run(script, { exitCode: 'binary' });
      const { startedMs: _started, endedMs: _ended, ...rest } = context.run ?? {};
      shown.push({ state, cause: context.cause, run: rest });
    }
    const [first] = shown;
    expect(first).toMatchObject({
      state: 'failed',
      cause: { code: 'ALGORITHM_FAILED', details: { exitCode: 1 } },
      run: { exitCode: 1 },
    });
    // Everything that is mirrored, times aside.
    for (const each of shown) expect(each).toEqual(first);
    expect(lines.join('\n')).toContain('exit code 3');
    expect(lines.join('\n')).toContain('limit of disk');
  });

  it('publishes the exact exit code by default', async () => {
    const { context } = await run('exit 3', undefined);
    expect(context.cause?.details).toEqual({ exitCode: 3 });
  });

  it('pads results of different sizes to the same size, with zeros that the receipt counts', async () => {
    const sizes = [];
    for (const bytes of [10, 5000]) {
      const { context, results } = await run(`head -c ${bytes} /dev/zero > /cocos/results/x`, {
        resultPadding: 65_536,
      });
      const receipt: unknown = JSON.parse(Buffer.from(results.receipt?.bytes ?? []).toString());
      const { size, paddingBytes } = results.get();
      expect(receipt).toMatchObject({ resultSize: size, paddingBytes });
      const sealed = await readFile(path.join(folder, 'sealed', 'result'));
      sizes.push([context.result?.size, sealed.length]);
    }
    expect(sizes[0]?.[0]).toBe(65_536);
    expect(sizes[1]).toEqual(sizes[0]);
  });

  it('publishes the end of a run, failed or not, at a multiple of the given seconds', async () => {
    for (const script of ['exit 0', 'exit 3']) {
      const { context } = await run(script, { runTimeSeconds: 1 });
      const { startedMs = 0, endedMs = 1 } = context.run ?? {};
      expect((endedMs - startedMs) % 1_000).toBe(0);
    }
  });

  it('publishes the sealed result no earlier than the given seconds after the run, however small it is', async () => {
    const { context } = await run('exit 0', { runTimeSeconds: 2 });
    const sealedMs = systemClock.monotonic();
    expect(sealedMs - (context.run?.endedMs ?? sealedMs)).toBeGreaterThanOrEqual(2_000);
  });
});

describe('a published failure', () => {
  it('has one code under exitCode: binary, whatever the algorithm caused, except that somebody stopped it', () => {
    for (const code of Object.keys(ERRORS) as ErrorCode[]) {
      const shown = publishedFailure(new CocosError(code, 'x'), { exitCode: 'binary' });
      expect(shown.code).toBe(code === 'CANCELLED' ? 'CANCELLED' : 'ALGORITHM_FAILED');
      expect(publishedFailure(new CocosError(code, 'x'), undefined).code).toBe(code);
    }
  });
});

describe('the published run time', () => {
  it.each([
    [1, 60_000],
    [59_999, 60_000],
    [60_001, 90_000],
    [95_000, 95_000],
  ])('of %i ms is %i ms with steps of a minute and a limit of 90 s', (elapsed, published) => {
    expect(publishedMs(elapsed, 90_000, { runTimeSeconds: 60 })).toBe(published);
  });
});

describe('the padded size', () => {
  it.each([
    [1536, undefined, 1536],
    [1536, 'none', 1536],
    [1536, 'powerOfTwo', 2048],
    [2048, 'powerOfTwo', 2048],
    [0, 'powerOfTwo', 1],
    [1536, 4096, 4096],
    [4097, 4096, 8192],
  ] as const)('of %i bytes under %s is %i', (size, padding, padded) => {
    expect(paddedSize(size, padding)).toBe(padded);
  });
});

it('a manifest without disclosure has no such member, so that its digest stays the same', () => {
  const key = `ed25519:${'A'.repeat(43)}`;
  const manifest = Manifest.parse({
    version: 1,
    id: 'm',
    name: 'm',
    algorithm: { kind: 'binary', digest: `sha256:${'0'.repeat(64)}`, provider: key },
    datasets: [],
    consumers: [{ signing: key, kem: `x25519:${'K'.repeat(43)}` }],
  });
  expect(Object.hasOwn(manifest, 'disclosure')).toBe(false);
});
