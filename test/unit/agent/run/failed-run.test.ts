import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Actor, createActor, waitFor } from 'xstate';
import { agentEffects } from '../../../../src/agent/agent-effects.ts';
import { ResultStore } from '../../../../src/agent/run/result-store.ts';
import type { computationMachine } from '../../../../src/machines/computation.machine.ts';
import { Manifest } from '../../../../src/machines/manifest.ts';
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

  it('does not contain what the algorithm printed in the style of bubblewrap', async () => {
    const cause = await run(`#!/bin/sh\necho "bwrap: execvp ${SECRET}" >&2\nexit 1\n`);
    expect(JSON.stringify(cause)).not.toContain(SECRET);
    expect(lines.join()).toContain(SECRET);
  });

  it('does not contain the name of a result that cannot be packed', async () => {
    const cause = await run(`#!/bin/sh\nln -s / /cocos/results/${SECRET}\n`);
    expect(cause?.code).toBe('ARCHIVE_UNSAFE');
    expect(JSON.stringify(cause)).not.toContain(SECRET);
    expect(lines.join()).toContain(SECRET);
  });

  it('names the limit that the algorithm exceeded', async () => {
    const cause = await run('#!/bin/sh\nhead -c 400000000 /dev/zero > /cocos/results/x\n');
    expect(cause).toMatchObject({ code: 'ALGORITHM_LIMIT', details: { limit: 'disk' } });
  });
});
