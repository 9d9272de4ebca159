import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createActor } from 'xstate';
import { enclaveMachine } from '../../../src/machines/enclave.machine.ts';
import { loadEnclaves, writeEnclave } from '../../../src/manager/store/recovery.ts';
import { Store } from '../../../src/manager/store/store.ts';

let folder: string;
let store: Store;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'cocosai-recovery-'));
  store = new Store(folder);
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

const snapshotOf = (id: string) => {
  const size = { vcpus: 1, memoryMiB: 512, imageDir: null, manifest: null, manifestDigest: null };
  const input = { id, name: 'n', mode: 'process' as const, platform: 'emulated' as const, ...size, atMs: 1 };
  return createActor(enclaveMachine, { input }).getPersistedSnapshot();
};
const load = async () => (await loadEnclaves(store, () => undefined)).map(({ address }) => address);

it('an enclave comes back under the address that it was stored with', async () => {
  await store.transact((writes) => writeEnclave(writes, 'enclave/abcd1234', snapshotOf('abcd1234')));
  expect(await load()).toEqual(['enclave/abcd1234']);
});

it.each([
  ['enclave/../../precious', 'abcd1234'],
  ['enclave/abcd1234/x', 'abcd1234'],
  ['enclave/abcd1234', 'ffff0000'],
  ['manager', 'abcd1234'],
])(
  'a record of %s that holds the enclave %s is set aside, since its folders follow from its id',
  async (address, id) => {
    await store.transact((writes) => writeEnclave(writes, address, snapshotOf(id)));
    expect(await load()).toEqual([]);
    expect([...store.load('actor/')]).toEqual([]);
  },
);
