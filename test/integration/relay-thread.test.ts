import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundleAgent } from '../../eos/agent-bundle.ts';
import { memoryTransport } from '../../src/link/transport/memory.ts';
import { PORTS } from '../../src/link/transport/transport.ts';
import { unixTransport } from '../../src/link/transport/unix.ts';
import { RelayThread } from '../../src/manager/relay/relay-thread.ts';
import { eventually } from '../harness/eventually.ts';

/** Relays in a thread of their own, with the thread's real program. */

let folder: string;
let program: string;
let mortal: string;
/** While this file is there, the mortal program ends by itself. */
let sentence: string;
const threads: RelayThread[] = [];

beforeAll(async () => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'cocos-t-'));
  const { script } = await bundleAgent('src/manager/relay/relay-main.ts');
  program = path.join(folder, 'relay.mjs');
  writeFileSync(program, script);
  sentence = path.join(folder, 'sentence');
  mortal = path.join(folder, 'mortal.mjs');
  const clock = `setInterval(() => { if (existsSync(${JSON.stringify(sentence)})) process.exit(3); }, 20);`;
  writeFileSync(mortal, `import './relay.mjs'; import { existsSync } from 'node:fs'; ${clock}`);
  await unixTransport(folder).listen(PORTS.participants, (stream) => stream.pipe(stream));
});

afterAll(async () => {
  for (const thread of threads) await thread.stop();
  rmSync(folder, { recursive: true, force: true });
});

function start(file = program): RelayThread {
  const thread = new RelayThread(file, () => undefined);
  threads.push(thread);
  return thread;
}

/** What a relay sends back of "hello", or "" when it closes the connection. */
function echoed(address: string): Promise<string> {
  const [, host, port] = /^tcp:(.+):(\d+)$/.exec(address) ?? [];
  const socket =
    host === undefined
      ? net.connect({ path: address.replace(/^unix:/, '') })
      : net.connect({ host, port: Number(port) });
  socket.write('hello');
  return new Promise((resolve) => {
    let text = '';
    const done = () => {
      socket.destroy();
      resolve(text);
    };
    socket.on('data', (chunk) => {
      text += chunk.toString();
      if (text.length === 5) done();
    });
    socket.on('error', done).on('close', done);
  });
}

describe('the relay thread', () => {
  it('carries bytes once it was told of the guest, and none before', async () => {
    const relay = await start().open({ unix: path.join(folder, 'a.sock') }, 'e1');
    expect(relay.address).toBe(`unix:${path.join(folder, 'a.sock')}`);
    expect(await echoed(relay.address)).toBe('');
    await relay.route(unixTransport(folder));
    expect(await echoed(relay.address)).toBe('hello');
    await relay.close();
    expect(await echoed(relay.address)).toBe('');
  });

  it('says when its place is taken, and goes on', async () => {
    const thread = start();
    const at = { unix: path.join(folder, 'b.sock') };
    const relay = await thread.open(at, 'e1');
    await expect(thread.open(at, 'e1')).rejects.toMatchObject({ code: 'HOST_PORT_TAKEN' });
    await relay.route(unixTransport(folder));
    expect(await echoed(relay.address)).toBe('hello');
  });

  it('brings every relay back to its place when it dies', async () => {
    const thread = start(mortal);
    const [unix, tcp] = [
      await thread.open({ unix: path.join(folder, 'c.sock') }, 'e1'),
      await thread.open({ tcp: '127.0.0.1', port: 0 }, 'e1'),
    ];
    await unix.route(unixTransport(folder));
    await tcp.route(unixTransport(folder));
    writeFileSync(sentence, '');
    await eventually(async () => expect(await echoed(tcp.address)).toBe(''));
    rmSync(sentence);
    for (const { address } of [unix, tcp]) {
      await eventually(async () => expect(await echoed(address)).toBe('hello'));
    }
    await unix.close();
    expect(await echoed(unix.address)).toBe('');
    expect(await echoed(tcp.address)).toBe('hello');
  });

  it('leaves a guest whose streams come to the main thread alone to that', async () => {
    const transport = memoryTransport();
    await transport.listen(PORTS.participants, (stream) => stream.pipe(stream));
    const relay = await start().open({ unix: path.join(folder, 'd.sock') }, 'e1');
    await relay.route(transport);
    expect(await echoed(relay.address)).toBe('hello');
    await relay.close();
    expect(await echoed(relay.address)).toBe('');
  });
});
