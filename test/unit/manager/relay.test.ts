import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connectivityState, credentials } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { unixTransport } from '../../../src/link/transport/unix.ts';
import { openRelay, type RelayPlace } from '../../../src/manager/relay/relay.ts';
import { type Address, grpcTarget, parseAddress } from '../../../src/rpc/address.ts';
import { AgentServiceClient } from '../../../src/rpc/gen/cocosai/agent/v1/agent.ts';

const closing: (() => unknown)[] = [];
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'cocos-r-'));
});

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  await rm(folder, { recursive: true, force: true });
});

const TCP: RelayPlace = { tcp: '127.0.0.1', port: 0 };

async function relayTo(at: RelayPlace): Promise<Address> {
  const guest = unixTransport(folder);
  const relay = await openRelay({ at, connect: () => guest.connect(1) });
  closing.push(() => relay.close());
  return parseAddress(relay.address);
}

/** A connection from an address of this machine's loopback network. */
async function connect(relay: Address, localAddress = '127.0.0.1'): Promise<net.Socket> {
  const socket =
    relay.kind === 'unix'
      ? net.connect({ path: relay.path })
      : net.connect({ host: relay.host, port: relay.port, localAddress });
  socket.on('error', () => undefined);
  closing.push(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

async function connectMany(relay: Address, count: number, localAddress?: string): Promise<net.Socket[]> {
  const sockets: net.Socket[] = [];
  while (sockets.length < count) sockets.push(await connect(relay, localAddress));
  return sockets;
}

/** Opens a session as a participant does, on a new connection. */
async function openSession(relay: Address): Promise<AgentServiceClient> {
  const client = new AgentServiceClient(grpcTarget(relay), credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
  });
  closing.push(() => client.close());
  const none = Buffer.alloc(0);
  const request = {
    ...{ sessionId: none, enc: none, participant: none, manifestDigest: '', evidenceDigest: '' },
    ...{ nonce: none, signature: none, kem: 'x-wing', aead: 'aes-256-gcm', role: 'consumer' },
  };
  await new Promise<void>((resolve, reject) => {
    client.openSession(request, (error) => (error === null ? resolve() : reject(error)));
  });
  return client;
}

describe('a relay of an agent', () => {
  let agent: ChildProcess;

  beforeEach(async () => {
    agent = fork(new URL('../agent/flood-server.ts', import.meta.url), [folder], {
      execArgv: ['--import', 'tsx', '--expose-gc'],
    });
    closing.push(async () => {
      agent.disconnect();
      await once(agent, 'exit');
    });
    await once(agent, 'message');
  });

  it.each(['unix', 'tcp'])(
    'at a %s address: a participant opens a session beside 64 silent connections of the same peer',
    async (kind) => {
      const relay = await relayTo(kind === 'unix' ? { unix: path.join(folder, 'r.sock') } : TCP);
      await connectMany(relay, 64);
      await openSession(relay);
    },
  );

  it('leaves it to the agent which connection of a single peer ends: a session outlives any number of silent ones', async () => {
    const relay = await relayTo(TCP);
    const participant = await openSession(relay);
    await connectMany(relay, 200);
    await openSession(relay);
    expect(participant.getChannel().getConnectivityState(false)).toBe(connectivityState.READY);
  });
});

describe('a relay of a guest that ends no connection', () => {
  let served: Set<net.Socket>;
  let accepted: number;

  beforeEach(async () => {
    served = new Set();
    accepted = 0;
    const guest = await unixTransport(folder).listen(1, (stream) => {
      if (!(stream instanceof net.Socket)) throw new Error('a unix transport has no socket');
      accepted += 1;
      served.add(stream);
      stream.once('close', () => served.delete(stream));
      stream.on('data', (chunk: Buffer) => void stream.write(chunk));
    });
    closing.push(() => guest.close());
  });

  /** Whether the guest still answers on the connection. */
  async function isEchoed(socket: net.Socket): Promise<boolean> {
    if (socket.destroyed) return false;
    const ended = new Promise((resolve) => socket.once('close', resolve));
    const answered = new Promise((resolve) => socket.once('data', resolve));
    socket.write('hello');
    await Promise.race([answered, ended]);
    return !socket.destroyed;
  }

  it('carries 128 connections of one peer and no more', async () => {
    const relay = await relayTo(TCP);
    await connectMany(relay, 200);
    const last = await connect(relay);
    expect(await isEchoed(last)).toBe(true);
    await expect.poll(() => served.size).toBeLessThanOrEqual(128);
    expect(accepted).toBeGreaterThan(64);
  });

  it('ends connections of the peer that has most, never the one of another peer that is still silent', async () => {
    const relay = await relayTo(TCP);
    const honest = await connect(relay, '127.0.0.2');
    await connectMany(relay, 300, '127.0.0.3');
    expect(await isEchoed(honest)).toBe(true);
    await expect.poll(() => served.size).toBeLessThanOrEqual(64);
  });

  it('ends those that were never answered first, and then those that are idle for longest', async () => {
    const relay = await relayTo(TCP);
    const working = await connectMany(relay, 2);
    for (const socket of working) expect(await isEchoed(socket)).toBe(true);
    await connectMany(relay, 200);
    for (const socket of working) expect(await isEchoed(socket)).toBe(true);
    for (let count = 0; count < 126; count += 1) expect(await isEchoed(await connect(relay))).toBe(true);
    const [idle] = working;
    const ended = new Promise((resolve) => idle?.once('close', resolve));
    await connect(relay);
    if (idle?.destroyed !== true) await ended;
  });
});
