import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connectivityState, credentials, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BULK_MAGIC } from '../../../src/rpc/bulk.ts';
import { AgentServiceClient } from '../../../src/rpc/gen/cocosai/agent/v1/agent.ts';
import { Flood } from '../../harness/flood.ts';

const CONNECTIONS = 64;
const MIB = 1024 * 1024;

/** The server runs in another process, so that its memory is measured alone. */
describe('a participant server under a flood of connections', () => {
  let folder: string;
  let file: string;
  let server: ChildProcess;
  let before: number;
  let flood: Flood;
  const closing: (() => void)[] = [];

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'cocos-f-'));
    file = path.join(folder, '1.sock');
    flood = new Flood(file);
    server = fork(new URL('flood-server.ts', import.meta.url), [folder], {
      execArgv: ['--import', 'tsx', '--expose-gc'],
    });
    before = Number((await once(server, 'message'))[0]);
  });

  afterEach(async () => {
    for (const close of closing.splice(0)) close();
    await flood.close();
    server.disconnect();
    await once(server, 'exit');
    await rm(folder, { recursive: true, force: true });
  });

  async function memory(): Promise<number> {
    server.send('measure');
    return Number((await once(server, 'message'))[0]);
  }

  function connect(): AgentServiceClient {
    const client = new AgentServiceClient(`unix:${file}`, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
    });
    closing.push(() => client.close());
    return client;
  }

  /** Sends one segment. Returns how many the server took. */
  function upload(client: AgentServiceClient): Promise<number> {
    return new Promise((resolve, reject) => {
      const call = client.upload((error, response) =>
        error === null ? resolve(response.segments) : reject(error),
      );
      call.on('error', () => undefined);
      call.write({ ticket: none, index: 0, last: true, ciphertext: Buffer.alloc(MIB) });
      call.end();
    });
  }

  /** Opens a session as a participant does, on a new connection. */
  async function openSession(): Promise<AgentServiceClient> {
    const client = connect();
    await new Promise<void>((resolve, reject) => {
      const request = { ...empty, kem: 'x-wing', aead: 'aes-256-gcm', role: 'consumer' };
      client.openSession(request, (error) => (error === null ? resolve() : reject(error)));
    });
    return client;
  }
  const none = Buffer.alloc(0);
  const empty = {
    ...{ sessionId: none, enc: none, participant: none, manifestDigest: '', evidenceDigest: '' },
    ...{ nonce: none, signature: none },
  };

  it('opens a session beside 64 silent connections', async () => {
    for (let count = 0; count < CONNECTIONS; count += 1) await flood.silent();
    await openSession();
    expect((await memory()) - before).toBeLessThan(32 * MIB);
  });

  it.each([MIB, 15 * 1024])(
    'opens a session beside 64 connections with unfinished messages of %i bytes, in bounded memory',
    async (bytes) => {
      for (let count = 0; count < CONNECTIONS; count += 1) await flood.unfinished(bytes);
      const grown = (await memory()) - before;
      await openSession();
      expect(grown).toBeLessThan(40 * MIB);
    },
  );

  it('opens a session beside 64 unfinished prefaces of bulk streams', async () => {
    for (let count = 0; count < CONNECTIONS; count += 1)
      (await flood.silent()).write(Buffer.from(BULK_MAGIC));
    await openSession();
    expect((await memory()) - before).toBeLessThan(40 * MIB);
  });

  it('opens a session beside 64 connections with long headers, in bounded memory', async () => {
    for (let count = 0; count < CONNECTIONS; count += 1) await flood.unfinished(1024, 'x'.repeat(60_000));
    const grown = (await memory()) - before;
    await openSession();
    expect(grown).toBeLessThan(56 * MIB);
  });

  it('takes a segment of 1 MiB on a connection that has a session, and on no other', async () => {
    const stranger = connect();
    await expect(upload(stranger)).rejects.toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    const participant = await openSession();
    expect(await upload(participant)).toBe(1);
  });

  it('keeps the connections that have a session', async () => {
    const participant = await openSession();
    for (let count = 0; count < CONNECTIONS; count += 1) await flood.silent();
    await openSession();
    expect(participant.getChannel().getConnectivityState(false)).toBe(connectivityState.READY);
  });
});
