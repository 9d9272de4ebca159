import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect } from 'vitest';
import { type Actor, createActor, waitFor } from 'xstate';
import { agentEffects } from '../../../../src/agent/agent-effects.ts';
import { ResultStore } from '../../../../src/agent/run/result-store.ts';
import type { ComputationContext, computationMachine } from '../../../../src/machines/computation.machine.ts';
import { Manifest } from '../../../../src/machines/manifest.ts';

const digest = `sha256:${'0'.repeat(64)}`;
const KEY = `ed25519:${'A'.repeat(43)}`;
const MANIFEST = {
  version: 1,
  id: 'run',
  name: 'run',
  algorithm: { kind: 'binary', digest, provider: KEY },
  datasets: [],
  consumers: [{ signing: KEY, kem: `x25519:${'K'.repeat(43)}` }],
};
const unused = () => expect.fail('not used here');

/** The computation of an algorithm, a script or a program, until it is over. `folder` must be searchable by others. */
export async function runComputation(
  folder: string,
  script: string,
  onLine: (line: string) => void,
  changes: Record<string, unknown> = {},
): Promise<{ readonly state: string; readonly context: ComputationContext; readonly results: ResultStore }> {
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
  const results = new ResultStore(folder);
  const effects = agentEffects({
    ownsFileSystem: false,
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
      reportProvider: { platform: 'emulated', report: unused, secret: unused },
      vtpm: null,
      dice: null,
      openChain: unused,
      claims: () => new Uint8Array(),
    },
    transfers: { commit: unused, refuse: unused, abandon: unused },
    inputs: {
      algorithmFile,
      committedFile: unused,
      unpackedFolder: unused,
      clear: () => Promise.resolve(),
    },
    results,
    logs: { add: (_stream, line) => onLine(line) },
    workDir: folder,
    signingKey: randomBytes(32),
  });
  const actor: Actor<typeof computationMachine> = createActor(effects.computation).start();
  actor.send({
    type: 'manifest.accepted',
    manifest: Manifest.parse({ ...MANIFEST, ...changes }),
    digest,
    atMs: 1,
  });
  actor.send({ type: 'input.receiving', input: 'algorithm', transferId: 't' });
  actor.send({ type: 'input.committed', input: 'algorithm', size: 1, digest, atMs: Date.now() });
  const { value, context } = await waitFor(
    actor,
    (snapshot) => snapshot.matches('failed') || snapshot.matches('resultsReady'),
  );
  actor.stop();
  return { state: String(value), context, results };
}
