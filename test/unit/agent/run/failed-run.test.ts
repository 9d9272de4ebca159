import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Actor, createActor, waitFor } from 'xstate';
import { agentEffects } from '../../../../src/agent/agent-effects.ts';
import { ResultStore } from '../../../../src/agent/run/result-store.ts';
import type { computationMachine } from '../../../../src/machines/computation.machine.ts';
import { Manifest } from '../../../../src/machines/manifest.ts';
import { PublicCause } from '../../../../src/machines/public-cause.ts';
import { canRun } from './support.ts';

const digest = `sha256:${'0'.repeat(64)}`;
const KEY = `ed25519:${'A'.repeat(43)}`;
const manifest = Manifest.parse({
  version: 1,
  id: 'failed',
  name: 'failed',
  algorithm: { kind: 'binary', digest, provider: KEY },
  datasets: [],
  consumers: [{ signing: KEY, kem: `x25519:${'K'.repeat(43)}` }],
});
const SECRET = 'row-of-a-dataset';
const unused = () => expect.fail('not used here');

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

  /** The computation of an algorithm until it is over. */
  async function run(script: string) {
    const algorithmFile = path.join(folder, 'algorithm');
    await writeFile(algorithmFile, script);
    const computation = {
      get context() {
        return actor.getSnapshot().context;
      },
      isAwaitingManifest: false,
      status: unused,
      send: (event: Parameters<typeof actor.send>[0]) => actor.send(event),
      sendLegal: unused,
    };
    const effects = agentEffects({
      notify: unused,
      lifecycle: {
        detectPlatform: unused,
        listen: unused,
        startLink: unused,
        shutDown: unused,
        exit: unused,
      },
      computation,
      attestations: { deliver: unused, fail: unused },
      platform: {
        get reportProvider() {
          return unused();
        },
        vtpm: null,
        dice: null,
        openChain: unused,
        claims: () => new Uint8Array(),
      },
      transfers: { commit: unused, refuse: unused, abandon: unused },
      inputs: { algorithmFile, committedFile: unused, clear: () => Promise.resolve() },
      results: new ResultStore(folder),
      logs: { add: (_stream, line) => void lines.push(line) },
      workDir: folder,
      signingKey: new Uint8Array(32),
    });
    const actor: Actor<typeof computationMachine> = createActor(effects.computation).start();
    actor.send({ type: 'manifest.accepted', manifest, digest, atMs: 1 });
    actor.send({ type: 'input.receiving', input: 'algorithm', transferId: 't' });
    actor.send({ type: 'input.committed', input: 'algorithm', size: 1, digest, atMs: Date.now() });
    const { context } = await waitFor(actor, (snapshot) => snapshot.matches('failed'));
    actor.stop();
    return context.cause;
  }

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
