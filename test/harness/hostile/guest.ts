import { appendFileSync } from 'node:fs';
import type net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { PORTS } from '../../../src/link/transport/transport.ts';
import { unixTransport } from '../../../src/link/transport/unix.ts';
import { decodeFrame, encodeFrame, type Frame, LengthPrefixReader } from '../../../src/link/wire/frame.ts';
import { CommandBody, Hello, LINK_PROTOCOL } from '../../../src/link/wire/hello.ts';
import { writeMessage } from '../../../src/link/wire/report-protocol.ts';
import { Seeded } from '../../seeded.ts';
import { anything, hostileFrame } from './frames.ts';

/**
 * Stands in for the agent of a hostile guest: it becomes ready, and then attacks its manager in every way it has, one
 * after the other, for as long as it lives. `COCOS_ODD` is its seed; each attack that was finished is a line of the file
 * `COCOS_ATTACKS`.
 */
const random = new Seeded(Number(process.env['COCOS_ODD'] ?? 1));
const report = process.env['COCOS_ATTACKS'];
const transport = unixTransport(process.env['COCOS_SOCKETS'] ?? '');
/** How long one attack goes on, unless the manager ends it. */
const ATTACK_MS = 1_500;
/** Pieces that are written before the others of this process get a turn. */
const BURST = 64;
const MIB = 2 ** 20;

const digest = `sha256:${'0'.repeat(64)}`;
const key = `ed25519:${'B'.repeat(43)}`;
const transfer = { transferId: 't', input: 'data', participant: key, size: 2 ** 40, digest, atMs: 1 };
const attestation = { sessionId: 'a', nonce: '0'.repeat(64), atMs: 1 };
const started = (address: string, input: unknown) => ({ kind: 'started', address, input });
const event = (address: string, body: object) => ({ kind: 'event', address, event: body });
const state = (address: string, value: unknown, context: unknown) => ({
  ...{ kind: 'state', address, snapshot: { status: 'active', value, context } },
});
const ADDRESSES = ['computation', 'transfer/t', 'attestation/a', 'enclave', 'transfer/../x'];

interface Stream {
  readonly socket: net.Socket;
  seq: number;
}

/** A stream that has shaken hands. @throws when the manager did not answer */
async function link(reads: boolean): Promise<Stream> {
  const socket = (await transport.connect(PORTS.link)) as net.Socket;
  socket.on('error', () => undefined);
  const bootId = `hostile-${process.pid}`;
  const reader = new LengthPrefixReader();
  const body = {
    protocol: LINK_PROTOCOL,
    role: 'agent',
    enclaveId: null,
    bootId,
    peerBootId: null,
    received: 0,
  };
  socket.write(encodeFrame({ kind: 'hello', seq: 0, ack: 0, body }));
  return new Promise((resolve, reject) => {
    socket.once('close', () => reject(new Error('the manager closed the link')));
    socket.on('data', (chunk: Buffer) => {
      for (const message of reader.push(chunk)) {
        const frame = decodeFrame(message);
        if (frame.kind === 'command') answer(stream, frame.body);
        if (frame.kind !== 'hello') continue;
        const hello = Hello.parse(frame.body);
        stream.seq = hello.peerBootId === bootId ? hello.received : 0;
        if (!reads) socket.pause();
        resolve(stream);
      }
    });
    const stream: Stream = { socket, seq: 0 };
  });
}

function answer(stream: Stream, body: unknown): void {
  const { id, name } = CommandBody.parse(body);
  const value = name === 'agent.describe' ? { version: 'hostile' } : anything(random, 0);
  send(stream, 'reply', { id, ok: true, value });
}

function send(stream: Stream, kind: Frame['kind'], body: unknown): boolean {
  stream.seq += 1;
  return stream.socket.write(encodeFrame({ kind, seq: stream.seq, ack: 0, body }));
}

/** Writes until the manager closes the stream or the time is over, as fast as it takes what is written. */
async function pour(stream: Stream, next: () => boolean): Promise<void> {
  const { socket } = stream;
  const end = performance.now() + ATTACK_MS;
  while (!socket.destroyed && performance.now() < end) {
    let writable = true;
    for (let count = 0; count < BURST && writable; count++) writable = next();
    if (writable) await new Promise((resolve) => setImmediate(resolve));
    else await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), sleep(100)]);
  }
}

async function poured(reads: boolean, next: (stream: Stream) => boolean): Promise<void> {
  const stream = await link(reads);
  await pour(stream, () => next(stream));
  stream.socket.destroy();
}

/** Opens connections to a port, each with the beginning of a message that never ends. */
async function unfinished(port: number, announced: number): Promise<void> {
  const sockets: net.Socket[] = [];
  const head = Buffer.alloc(4);
  head.writeUInt32BE(announced);
  for (let count = 0; count < 512; count++) {
    const socket = await transport.connect(port).catch(() => null);
    if (socket === null) break;
    socket.on('error', () => undefined);
    socket.write(Buffer.concat([head, Buffer.alloc(announced - 1)]));
    sockets.push(socket as net.Socket);
  }
  await sleep(ATTACK_MS);
  for (const socket of sockets) socket.destroy();
}

const maps = () => Array.from({ length: 100_000 }, () => ({}));

/** What a guest may try. A new one needs a name, and no more. */
const ATTACKS: Readonly<Record<string, () => Promise<void>>> = {
  garbage: () => poured(true, ({ socket }) => socket.write(random.bytes(1_024))),
  mutations: () =>
    poured(true, (stream) => {
      stream.seq += 1;
      const body = random.chance(0.5)
        ? started(random.pick(ADDRESSES), random.pick([null, transfer, attestation]))
        : event(random.pick(ADDRESSES), { type: 'transfer.progress', segments: 1, received: 1 });
      return stream.socket.write(hostileFrame(random, stream.seq, { kind: 'event', body }));
    }),
  maps: () =>
    poured(true, (stream) =>
      send(stream, 'event', state('computation', 'awaitingManifest', { manifest: null, delivered: maps() })),
    ),
  contexts: () =>
    poured(true, (stream) =>
      send(stream, random.pick(['event', 'snapshot']), {
        ...{ first: random.chance(0.5), last: random.chance(0.5) },
        records: [state(random.pick(ADDRESSES), anything(random, 0), anything(random, 0))],
      }),
    ),
  actors: () => poured(true, (stream) => send(stream, 'event', started(`transfer/t${stream.seq}`, transfer))),
  events: async () => {
    const stream = await link(true);
    send(stream, 'event', started('transfer/t', transfer));
    send(stream, 'event', event('transfer/t', { type: 'transfer.attached' }));
    await pour(stream, () =>
      send(
        stream,
        'event',
        event('transfer/t', { type: 'transfer.progress', segments: stream.seq, received: stream.seq }),
      ),
    );
    stream.socket.destroy();
  },
  restarts: () =>
    poured(true, (stream) => {
      send(stream, 'event', started('attestation/a', attestation));
      return send(stream, 'event', { kind: 'retired', address: 'attestation/a' });
    }),
  commands: () =>
    poured(false, (stream) =>
      send(stream, 'command', { id: String(stream.seq), name: 'n'.repeat(64), input: null }),
    ),
  pings: () =>
    poured(false, ({ socket }) => socket.write(encodeFrame({ kind: 'ping', seq: 0, ack: 0, body: null }))),
  silence: async () => {
    const { socket } = await link(false);
    await sleep(ATTACK_MS);
    socket.destroy();
  },
  links: () => unfinished(PORTS.link, MIB),
  reports: () => unfinished(PORTS.report, 256 * 1024),
  signatures: async () => {
    const end = performance.now() + ATTACK_MS;
    while (performance.now() < end) {
      const asked = Array.from({ length: 16 }, async () => {
        const socket = await transport.connect(PORTS.report);
        socket.on('error', () => undefined);
        writeMessage(socket, { reportData: random.bytes(64) });
        socket.resume();
        await new Promise((resolve) => socket.once('close', resolve));
      });
      await Promise.allSettled(asked);
    }
  },
  log: async () => {
    const end = performance.now() + ATTACK_MS;
    const line = `${'x'.repeat(4_095)}\n`;
    while (performance.now() < end) {
      if (process.stdout.write(line)) await new Promise((resolve) => setImmediate(resolve));
      else await new Promise((resolve) => process.stdout.once('drain', resolve));
    }
  },
};

/** Becomes ready; whatever is wrong with the link then, it comes back. */
async function becomeReady(): Promise<void> {
  const { socket } = await link(true);
  await sleep(500);
  socket.destroy();
}

async function attackForever(): Promise<void> {
  for (;;) {
    for (const [name, attack] of Object.entries(ATTACKS)) {
      await becomeReady().catch(() => sleep(50));
      await attack().catch(() => undefined);
      if (report !== undefined) appendFileSync(report, `${name}\n`);
    }
  }
}

process.on('unhandledRejection', () => undefined);
void attackForever();
