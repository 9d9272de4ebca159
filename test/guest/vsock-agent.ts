import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Duplex } from 'node:stream';
import { promisify } from 'node:util';
import { CocosError } from '../../src/errors.ts';
import { CID_HOST, connectVsock, listenVsock } from '../../src/link/transport/vsock.ts';
import { GUEST_PORTS, HOST_PORTS, pattern } from './ports.ts';

/** Stands in for the agent in a guest: moves bytes over vsock, and tells what it sees of the system. */

const run = promisify(execFile);
const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();

listenVsock(GUEST_PORTS.echo, (socket) => socket.pipe(socket));

/** Takes an 8-byte length and as many bytes; answers with their SHA-256. */
listenVsock(GUEST_PORTS.sink, (socket) => {
  const hash = createHash('sha256');
  let left = -1;
  socket.on('data', (chunk: Buffer) => {
    const body = left === -1 ? chunk.subarray(8) : chunk;
    if (left === -1) left = Number(chunk.readBigUInt64BE(0));
    hash.update(body);
    left -= body.length;
    if (left === 0) socket.write(hash.digest());
  });
});

/** Takes an 8-byte length and writes as many bytes of the pattern. */
listenVsock(GUEST_PORTS.source, (socket) => {
  socket.once('data', (chunk: Buffer) => void send(socket, Number(chunk.readBigUInt64BE(0))));
});

/** Answers at once with the longest time in ms that the event loop was held since the last question. */
listenVsock(GUEST_PORTS.lag, (socket) => {
  socket.write(`${JSON.stringify({ maxMs: delay.max / 1e6 })}\n`);
  delay.reset();
});

listenVsock(GUEST_PORTS.inspect, (socket) => {
  inspect().then(
    (found) => socket.write(`${JSON.stringify(found)}\n`),
    (error: unknown) => socket.write(`${JSON.stringify({ error: String(error) })}\n`),
  );
});

/** Ends the agent with code 3, and with it the guest. */
listenVsock(GUEST_PORTS.exit, () => process.exit(3));

async function send(socket: Duplex, length: number): Promise<void> {
  for (const chunk of pattern(length)) {
    if (!socket.write(chunk)) await new Promise((resolve) => socket.once('drain', resolve));
  }
}

async function inspect(): Promise<object> {
  const text = (path: string): string => readFileSync(path, 'utf8').trim();
  const sandboxed = ['--unshare-all', '--ro-bind', '/usr', '/usr', '--symlink', 'usr/lib', '/lib'];
  const options = ['--symlink', 'usr/lib64', '/lib64', '--proc', '/proc'];
  // Another user outside the sandbox too, and not only by the name it has inside.
  const nobody = { uid: 65534, gid: 65534 };
  const script = 'import json, csv, math, statistics, hashlib, sqlite3; print(statistics.mean([1, 2, 6]))';
  const began = performance.now();
  const python = await run(
    'bwrap',
    [...sandboxed, ...options, '/usr/bin/python3', '-B', '-c', script],
    nobody,
  );
  const pythonMs = Math.round(performance.now() - began);
  const shell = await run(
    'bwrap',
    [...sandboxed, ...options, '/usr/sbin/busybox', 'sh', '-c', 'true'],
    nobody,
  ).then(
    () => 'ran',
    () => 'refused',
  );
  const refused = await connectVsock(CID_HOST, HOST_PORTS.silent, { timeoutMs: 10_000 }).then(
    () => 'connected',
    (error: unknown) => CocosError.from(error).code,
  );
  return {
    listening: await listenTwice(),
    python: python.stdout.trim(),
    pythonMs,
    shell,
    refused,
    controllers: text('/sys/fs/cgroup/cocos/cgroup.subtree_control'),
    cgroup: text('/proc/self/cgroup'),
    interfaces: readdirSync('/sys/class/net'),
    configfs: readdirSync('/sys/kernel/config'),
    mounts: text('/proc/mounts').split('\n'),
    lockdown: text('/sys/kernel/security/lockdown'),
    uptime: text('/proc/uptime'),
    memory: text('/proc/meminfo').split('\n').slice(0, 3),
  };
}

/** What a second listener at a port is told, and whether the port serves again after a close. */
async function listenTwice(): Promise<string[]> {
  const told: string[] = [];
  const first = listenVsock(GUEST_PORTS.reopened, (socket) => socket.end('first'));
  try {
    listenVsock(GUEST_PORTS.reopened, () => undefined);
    told.push('no refusal');
  } catch (error) {
    told.push(CocosError.from(error).code);
  }
  await first.close();
  listenVsock(GUEST_PORTS.reopened, (socket) => socket.write('second\n'));
  return told;
}

async function handshake(): Promise<void> {
  const hello = await connectVsock(CID_HOST, HOST_PORTS.ready, { timeoutMs: 10_000 });
  hello.write(`ready ${process.env['COCOS_MODE'] ?? ''}\n`);
}

void handshake();
