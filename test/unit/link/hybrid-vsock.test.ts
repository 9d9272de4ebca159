import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connectHybrid, listenHybrid } from '../../../src/link/transport/hybrid-vsock.ts';

/** A substitute for vhost-device-vsock that passes each CONNECT line to `answer`. */
function fakeDaemon(path: string, answer: (line: string, socket: net.Socket) => void): Promise<net.Server> {
  const server = net.createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (chunk) => answer(String(chunk), socket));
  });
  return new Promise((resolve) => server.listen(path, () => resolve(server)));
}

describe('connectHybrid', () => {
  let folder: string;
  let path: string;
  let server: net.Server | undefined;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'cocos-h-'));
    path = join(folder, 'v.sock');
  });

  afterEach(async () => {
    await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
    server = undefined;
    rmSync(folder, { recursive: true, force: true });
  });

  const text = (socket: net.Socket): Promise<string> =>
    new Promise((resolve) => {
      let all = '';
      socket.on('data', (chunk) => {
        all += String(chunk);
      });
      socket.on('close', () => resolve(all));
    });

  it('requests the port as the daemon expects and returns the stream after the answer', async () => {
    const lines: string[] = [];
    server = await fakeDaemon(path, (line, socket) => {
      lines.push(line);
      socket.write('OK 1073741824\n');
      socket.end('first bytes');
    });
    const socket = await connectHybrid(path, 7002);
    expect(lines).toEqual(['CONNECT 7002\n']);
    expect(await text(socket)).toBe('first bytes');
  });

  it('keeps bytes that arrive together with the answer', async () => {
    server = await fakeDaemon(path, (_, socket) => void socket.end('OK 5\nhello\nworld'));
    expect(await text(await connectHybrid(path, 1))).toBe('hello\nworld');
  });

  it('accepts an answer that arrives byte by byte', async () => {
    server = await fakeDaemon(path, (_, socket) => {
      const bytes = [...'OK 12\nx'];
      const next = (): void => {
        const byte = bytes.shift();
        if (byte === undefined) return void socket.end();
        socket.write(byte);
        setTimeout(next, 2);
      };
      next();
    });
    expect(await text(await connectHybrid(path, 1))).toBe('x');
  });

  it.each([
    ['a close without an answer', (socket: net.Socket) => void socket.destroy()],
    ['another answer', (socket: net.Socket) => void socket.write('NO 1\n')],
    ['an answer with more in its line', (socket: net.Socket) => void socket.write('OK 1 2\n')],
    ['an answer without end', (socket: net.Socket) => void socket.write('O'.repeat(10_000))],
    ['no answer', () => undefined],
  ])('refuses %s', async (_, act) => {
    server = await fakeDaemon(path, (_line, socket) => act(socket));
    await expect(connectHybrid(path, 1, { timeoutMs: 200 })).rejects.toMatchObject({ code: 'VSOCK_CONNECT' });
  });

  it('fails without a daemon', async () => {
    await expect(connectHybrid(path, 1)).rejects.toMatchObject({ code: 'VSOCK_CONNECT' });
  });
});

describe('listenHybrid', () => {
  it('listens at the path where the daemon connects for that port, and removes it on close', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'cocos-h-'));
    const path = join(folder, 'v.sock');
    const listener = await listenHybrid(path, 9000, (socket) => void socket.end('hello'));
    const received = await new Promise((resolve) => {
      net.connect(`${path}_9000`).on('data', (chunk) => resolve(String(chunk)));
    });
    expect(received).toBe('hello');
    await listener.close();
    expect(existsSync(`${path}_9000`)).toBe(false);
    rmSync(folder, { recursive: true });
  });
});
