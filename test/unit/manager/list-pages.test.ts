import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { parseAddress } from '../../../src/rpc/address.ts';
import { ControlClient } from '../../../src/rpc/control-client.ts';
import { type DrivenManager, driveManager } from './driven-manager.ts';
import { NO_TLS } from './service/client-world.ts';

let driven: DrivenManager;
let client: ControlClient;
beforeEach(async () => {
  driven = await driveManager();
  client = new ControlClient(parseAddress(`unix:${path.join(driven.folder, 'run/manager.sock')}`), NO_TLS);
});
afterEach(async () => {
  client.close();
  await driven.close();
});

it('actors are listed although a guest has more of them, and larger ones, than a message holds', async () => {
  const loud = await driven.create('loud');
  const quiet = await driven.create('quiet');
  const text = 'x'.repeat(4_000);
  const cause = { code: 'INTERNAL', message: text, details: { one: text, two: text, three: text } };
  const own = { input: 'data', participant: 'p', size: 1, digest: `sha256:${'0'.repeat(64)}`, atMs: 1 };
  const rest = { waitMs: 1, segments: 0, received: 0, deadlineMs: null };
  const ids = Array.from({ length: 400 }, (_, index) => `t${index}`);
  for (const transferId of ids) {
    const snapshot = { status: 'active', value: 'aborted', context: { transferId, ...own, ...rest, cause } };
    driven.mirrorsOf(loud).apply({ kind: 'state', address: `transfer/${transferId}`, snapshot });
  }
  for (let index = 0; index < 2_000; index++) {
    const input = { sessionId: 's', nonce: '0'.repeat(64), atMs: 1 };
    driven.mirrorsOf(loud).apply({ kind: 'started', address: `attestation/a${index}`, input });
  }
  await driven.manager.directory.settled();
  const addresses = (await client.list('')).map(({ address }) => address);
  expect(addresses).toEqual([...new Set(addresses)].sort());
  expect(addresses).toEqual(expect.arrayContaining(['manager', loud, quiet]));
  expect(addresses.filter((address) => address.startsWith(`${loud}/`))).toHaveLength(2_400);
  expect((await client.list(quiet)).map(({ address }) => address)).toEqual([quiet]);
});
