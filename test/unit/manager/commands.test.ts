import { describe, expect, it } from 'vitest';
import { legalEvents } from '../../../src/manager/control/commands.ts';
import { Directory } from '../../../src/manager/control/directory.ts';

const ADDRESS = 'enclave/e1/computation';
const digest = `sha256:${'0'.repeat(64)}`;
const NOTHING_TO_STORE = Promise.resolve();

/** Published events of a computation that was stopped by its chart at each of these steps. */
async function legalAfter(...events: readonly { readonly type: string }[]): Promise<string[]> {
  const directory = new Directory(0, {
    persistActor: () => NOTHING_TO_STORE,
    mirrorsOf: () => () => NOTHING_TO_STORE,
  });
  const mirrors = directory.createMirrors('enclave/e1');
  mirrors.apply({ kind: 'started', address: 'computation', input: null });
  for (const event of events) mirrors.apply({ kind: 'event', address: 'computation', event });
  await directory.settled();
  return legalEvents(directory, directory.view(ADDRESS));
}

const manifest = {
  ...{ version: 1, id: 'c', name: 'c', datasets: [] },
  algorithm: { kind: 'wasm', digest, provider: `ed25519:${'A'.repeat(43)}` },
  consumers: [{ signing: `ed25519:${'A'.repeat(43)}`, kem: `x25519:${'B'.repeat(43)}` }],
};
const accepted = { type: 'manifest.accepted', manifest, digest, atMs: 1 };

describe('the public events of a computation', () => {
  it('are those that its chart has a transition for', async () => {
    expect(await legalAfter()).toEqual(['manifest.deliver']);
    expect(await legalAfter(accepted)).toEqual(['computation.stop']);
    expect(await legalAfter(accepted, { type: 'computation.stop', ...{ by: 'manager' } })).toEqual([]);
  });
});
