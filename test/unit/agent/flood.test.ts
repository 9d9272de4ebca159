import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import http2 from 'node:http2';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connectivityState, credentials, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BULK_MAGIC } from '../../../src/rpc/bulk.ts';
import { AgentServiceClient } from '../../../src/rpc/gen/cocosai/agent/v1/agent.ts';

const FLOOD = 64;
const MIB = 1024 * 1024;
/** Requests that one connection begins, unless the server allows fewer. */
const STREAMS = 64;

/** The server runs in another process, so that its memory is measured alone. */
describe('a participant server under a flood of connections', { timeout: 60_000 }, () => {
  let folder: string;
  let file: string;
  let server: ChildProcess;
  let before: number;
  const closing: (() => void)[] = [];

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'cocos-f-'));
    file = path.join(folder, '1.sock');
    server = fork(new URL('flood-server.ts', import.meta.url), [folder], {
      execArgv: ['--import', 'tsx', '--expose-gc'],
    });
    before = Number((await once(server, 'message'))[0]);
  }, 60_000);

  afterEach(async () => {
    for (const close of closing.splice(0)) close();
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

  async function silent(): Promise<net.Socket> {
    const socket = net.connect(file).on('error', () => undefined);
    closing.push(() => socket.destroy());
    await once(socket, 'connect');
    return socket;
  }

  /** A connection whose requests all begin with a message that never ends. Resolves when the server took or refused it. */
  async function unfinished(bytes: number, header = 'x'): Promise<void> {
    const session = http2.connect('http://agent', { createConnection: () => net.connect(file) });
    session.on('error', () => undefined);
    closing.push(() => session.destroy());
    await once(session, 'remoteSettings');
    const head = Buffer.alloc(5);
    head.writeUInt32BE(bytes + 1, 1);
    const requests = Math.min(STREAMS, session.remoteSettings.maxConcurrentStreams ?? STREAMS);
    const sent = Array.from({ length: requests }, () => {
      const stream = session.request({
        ':method': 'POST',
        ':path': '/cocosai.agent.v1.AgentService/Upload',
        'content-type': 'application/grpc',
        te: 'trailers',
        'x-long': header,
      });
      stream.on('error', () => undefined);
      return new Promise<void>((resolve) => {
        stream.once('close', resolve).once('response', () => resolve());
        stream.write(Buffer.concat([head, Buffer.alloc(bytes)]), () => resolve());
      });
    });
    await Promise.race([Promise.all(sent), once(session, 'close')]);
  }

  it('opens a session beside 64 silent connections', async () => {
    for (let count = 0; count < FLOOD; count += 1) await silent();
    await openSession();
    expect((await memory()) - before).toBeLessThan(32 * MIB);
  });

  it.each([MIB, 15 * 1024])(
    'opens a session beside 64 connections with unfinished messages of %i bytes, in bounded memory',
    async (bytes) => {
      for (let count = 0; count < FLOOD; count += 1) await unfinished(bytes);
      const grown = (await memory()) - before;
      await openSession();
      expect(grown).toBeLessThan(40 * MIB);
    },
    60_000,
  );

  it('opens a session beside 64 unfinished prefaces of bulk streams', async () => {
    for (let count = 0; count < FLOOD; count += 1) (await silent()).write(Buffer.from(BULK_MAGIC));
    await openSession();
    expect((await memory()) - before).toBeLessThan(40 * MIB);
  });

  it('opens a session beside 64 connections with long headers, in bounded memory', async () => {
    for (let count = 0; count < FLOOD; count += 1) await unfinished(1024, 'x'.repeat(60_000));
    const grown = (await memory()) - before;
    await openSession();
    expect(grown).toBeLessThan(56 * MIB);
  }, 60_000);

  it('takes a segment of 1 MiB on a connection that has a session, and on no other', async () => {
    const stranger = connect();
    await expect(upload(stranger)).rejects.toMatchObject({ code: status.RESOURCE_EXHAUSTED });
    const participant = await openSession();
    expect(await upload(participant)).toBe(1);
  });

  it('keeps the connections that have a session', async () => {
    const participant = await openSession();
    for (let count = 0; count < FLOOD; count += 1) await silent();
    await openSession();
    expect(participant.getChannel().getConnectivityState(false)).toBe(connectivityState.READY);
  });
});
