import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { type GatewayPlace, openGateway } from '../../../src/manager/relay/gateway.ts';
import { certificateOf } from '../../harness/certificate.ts';
import { eventually } from '../../harness/eventually.ts';

/** A gateway whose one enclave answers with what it is sent. */

const ENCLAVE = 'e0e0e0e0';
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function open(tlsFiles: GatewayPlace['tls'] = null): Promise<number> {
  const agent = net.createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  });
  agent.listen(0, '127.0.0.1');
  await once(agent, 'listening');
  const at = agent.address();
  if (at === null || typeof at === 'string') throw new Error('the agent has no port');
  closing.push(() => agent.close());
  const gateway = await openGateway({
    at: { host: '127.0.0.1', port: 0, tls: tlsFiles },
    find: (enclave) =>
      enclave === ENCLAVE
        ? async () => {
            const stream = net.connect(at.port, '127.0.0.1');
            await once(stream, 'connect');
            return stream;
          }
        : null,
  });
  closing.push(() => gateway.close());
  return Number(gateway.address.split(':').at(-1));
}

async function connect(port: number, localAddress: string): Promise<net.Socket> {
  const socket = net.connect({ host: '127.0.0.1', port, localAddress });
  socket.on('error', () => undefined);
  closing.push(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

/** Names the enclave and gives the answer. */
async function name(socket: net.Socket, enclave = ENCLAVE): Promise<string> {
  socket.write(`CONNECT ${enclave}:7002 HTTP/1.1\r\nHost: ${enclave}\r\n\r\n`);
  const [answer] = await once(socket, 'data');
  return String(answer);
}

async function echo(socket: net.Socket, word: string): Promise<string> {
  socket.write(word);
  const [answer] = await once(socket, 'data');
  return String(answer);
}

describe('a gateway', () => {
  it('keeps a connection that its guest has answered while silent ones come from many addresses', async () => {
    const port = await open();
    const honest = await connect(port, '127.0.0.1');
    expect(await name(honest)).toMatch(/^HTTP\/1\.1 200 /);
    expect(await echo(honest, 'before')).toBe('before');
    const silent: net.Socket[] = [];
    for (let count = 1; count <= 100; count++) {
      const socket = await connect(port, `127.0.1.${count}`);
      await name(socket);
      silent.push(socket);
    }
    await eventually(() => expect(silent.filter(({ destroyed }) => destroyed).length).toBeGreaterThan(30));
    expect(await echo(honest, 'after')).toBe('after');
  });

  it('keeps nobody out for connections that never begin TLS', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'cocos-tls-'));
    closing.push(() => rmSync(folder, { recursive: true, force: true }));
    const files = certificateOf('127.0.0.1', folder);
    const certificate = readFileSync(files.certificate, 'utf8');
    const port = await open({ certificate, key: readFileSync(files.key, 'utf8') });
    const silent: net.Socket[] = [];
    for (let count = 0; count < 1_200; count++) silent.push(await connect(port, '127.0.0.9'));
    const honest = tls.connect({ host: '127.0.0.1', port, ca: certificate });
    closing.push(() => honest.destroy());
    await once(honest, 'secureConnect');
    expect(await name(honest)).toMatch(/^HTTP\/1\.1 200 /);
    expect(await echo(honest, 'hello')).toBe('hello');
    expect(silent.filter(({ destroyed }) => destroyed).length).toBeGreaterThan(100);
  });

  it('takes no longer head than a participant sends, and what follows it goes to the guest', async () => {
    const port = await open();
    const long = await connect(port, '127.0.0.1');
    long.write(`CONNECT ${ENCLAVE}:7002 HTTP/1.1\r\n${'X: y\r\n'.repeat(4_000)}`);
    const [refused] = await once(long, 'data');
    expect(String(refused)).toMatch(/^HTTP\/1\.1 408 /);
    const eager = await connect(port, '127.0.0.1');
    let text = '';
    eager.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    eager.write(`CONNECT ${ENCLAVE}:7002 HTTP/1.1\r\n\r\nat once`);
    await eventually(() => expect(text).toMatch(/^HTTP\/1\.1 200 [^\n]*\r\n\r\nat once$/));
  });
});
