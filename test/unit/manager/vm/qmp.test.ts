import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { QmpClient, type QmpEvent } from '../../../../src/manager/guests/vm/qmp.ts';

const HELLO = '{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}}, "capabilities": []}}\r\n';

type Answer = (request: { execute: string; id: number }, socket: net.Socket) => void;

describe('QmpClient', () => {
  let folder: string;
  let server: net.Server;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'cocos-qmp-'));
  });

  afterEach(async () => {
    await new Promise((resolve) => server.close(resolve));
    rmSync(folder, { recursive: true });
  });

  async function serve(hello: string, answer: Answer): Promise<string> {
    const path = join(folder, 'q');
    server = net.createServer((socket) => {
      socket.on('error', () => undefined);
      socket.write(hello);
      let text = '';
      socket.on('data', (chunk) => {
        text += String(chunk);
        for (const [line, rest] of [text.split(/\n(.*)/s)]) {
          if (rest === undefined) return;
          text = rest;
          const request = JSON.parse(line ?? '');
          if (request.execute === 'qmp_capabilities') socket.write(`{"return": {}, "id": ${request.id}}\r\n`);
          else answer(request, socket);
        }
      });
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    return path;
  }

  it('matches replies to commands by id, in whatever order they come', async () => {
    const ids: number[] = [];
    const path = await serve(HELLO, (request, socket) => {
      ids.push(request.id);
      if (ids.length < 2) return;
      for (const id of ids.reverse()) socket.write(`{"return": {"to": ${id}}, "id": ${id}}\r\n`);
    });
    const client = await QmpClient.connect(path);
    const first = client.execute('a');
    await new Promise((resolve) => setTimeout(resolve, 50));
    const second = client.execute('b');
    expect(await Promise.all([first, second])).toEqual([{ to: 1 }, { to: 2 }]);
    client.close();
  });

  it('tells events, also between command and reply and cut at any byte', async () => {
    const path = await serve(HELLO, ({ id }, socket) => {
      const text = `{"event": "SHUTDOWN", "data": {"guest": true}, "timestamp": {}}\r\n{"return": 1, "id": ${id}}\r\n`;
      for (const byte of text) socket.write(byte);
    });
    const client = await QmpClient.connect(path);
    const events: QmpEvent[] = [];
    client.on('event', (event) => events.push(event));
    expect(await client.execute('x')).toBe(1);
    expect(events).toEqual([{ name: 'SHUTDOWN', data: { guest: true } }]);
    client.close();
  });

  it("gives QEMU's refusal with its class", async () => {
    const path = await serve(HELLO, ({ id }, socket) => {
      socket.write(`{"error": {"class": "CommandNotFound", "desc": "no such command"}, "id": ${id}}\r\n`);
    });
    const client = await QmpClient.connect(path);
    await expect(client.execute('x')).rejects.toMatchObject({
      code: 'INTERNAL',
      details: { class: 'CommandNotFound' },
    });
    client.close();
  });

  it('fails a command that is not answered in time', async () => {
    const client = await QmpClient.connect(await serve(HELLO, () => undefined));
    await expect(client.execute('x', {}, 50)).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    client.close();
  });

  it.each([
    ['a line without end', 'x'.repeat(2 * 1024 * 1024)],
    ['a line over the limit', `{"event": "X", "data": {"a": "${'x'.repeat(1024 * 1024)}"}}\n`],
    ['text that is not JSON', 'hello\n'],
    ['JSON of another form', '[1]\n'],
  ])('ends the connection on %s', async (_, text) => {
    const client = await QmpClient.connect(await serve(HELLO, (_request, socket) => void socket.write(text)));
    await expect(client.execute('x')).rejects.toMatchObject({ code: 'VM_EXITED' });
    await expect(client.execute('y')).rejects.toMatchObject({ code: 'VM_EXITED' });
  });

  it('refuses a peer that sends no hello', async () => {
    const path = await serve('', () => undefined);
    await expect(QmpClient.connect(path, 100)).rejects.toMatchObject({ code: 'VM_LAUNCH_FAILED' });
  });
});
