import { once } from 'node:events';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { clientCredentials, grpcTarget, parseAddress } from '../../../src/rpc/address.ts';
import { ControlServiceClient } from '../../../src/rpc/gen/cocosai/control/v1/control.ts';
import { fromStatus } from '../../../src/rpc/status.ts';
import { type DrivenManager, driveManager } from './driven-manager.ts';
import { NO_TLS } from './service/client-world.ts';

let driven: DrivenManager;
let client: ControlServiceClient;
beforeEach(async () => {
  driven = await driveManager();
  const address = parseAddress(`unix:${path.join(driven.folder, 'run/manager.sock')}`);
  client = new ControlServiceClient(grpcTarget(address), clientCredentials(address, NO_TLS));
});
afterEach(async () => {
  client.close();
  await driven.close();
});

const text = 'x'.repeat(4_000);
const cause = { code: 'INTERNAL', message: text, details: { one: text, two: text, three: text } };
const context = {
  ...{
    transferId: 't',
    input: 'data',
    participant: 'p',
    size: 1,
    digest: `sha256:${'0'.repeat(64)}`,
    atMs: 1,
  },
  ...{ waitMs: 1, segments: 0, received: 0, deadlineMs: null, cause },
};
const state = { status: 'active', value: 'aborted', context };

it('a watcher that does not read is cut off when the bytes that wait for it are too many', async () => {
  const enclave = await driven.create('loud');
  const call = client.watchActors({ prefix: '', afterSequence: 0 });
  const [first] = await once(call, 'data');
  expect(first).toBeDefined();
  call.pause();
  const mirrors = driven.mirrorsOf(enclave);
  for (let round = 0; round < 40; round++) {
    for (let count = 0; count < 100; count++)
      mirrors.apply({ kind: 'state', address: 'transfer/t', snapshot: state });
    await driven.manager.directory.settled();
  }
  const failed = once(call, 'error');
  call.resume();
  // A watcher that is not cut off stays open: a transition tells the two apart.
  const last = new Promise<string>((resolve) => {
    call.on('data', ({ item }) => {
      if (item?.$case === 'transition' && item.value.event === 'link.lost') resolve('not cut off');
    });
  });
  driven.manager.directory.send(enclave, { type: 'link.lost', atMs: 1 });
  const outcome = await Promise.race([failed.then(([error]) => fromStatus(error, 'INTERNAL').code), last]);
  expect(outcome).toBe('LIMIT_EXCEEDED');
  call.cancel();
});
