import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Guest } from '../../src/manager/guests/guest.ts';
import { attachVmGuest, endOrphanVm, launchVmGuest } from '../../src/manager/guests/vm/vm-guest.ts';
import { GUEST_PORTS, HOST_PORTS, pattern } from '../guest/ports.ts';
import { bootable, testImage, whyNoGuests } from '../guest/test-image.ts';

const reason = whyNoGuests();
if (reason !== null) console.warn(`guest tests are skipped: ${reason}`);

const MIB = 1024 * 1024;
const BULK = 64 * MIB;

function length(bytes: number): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64BE(BigInt(bytes));
  return buffer;
}

function patternDigest(bytes: number): string {
  const hash = createHash('sha256');
  for (const chunk of pattern(bytes)) hash.update(chunk);
  return hash.digest('hex');
}

async function readExactly(stream: Duplex, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let have = 0;
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    chunks.push(chunk);
    have += chunk.length;
    if (have >= bytes) break;
  }
  return Buffer.concat(chunks);
}

async function readLine(stream: Duplex): Promise<string> {
  let text = '';
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    text += String(chunk);
    if (text.endsWith('\n')) break;
  }
  return text.trim();
}

/** False also for a process that has ended and that nobody has waited for yet. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

describe.skipIf(reason !== null)('vsock in a real guest', () => {
  let folder: string;
  let logFile: string;
  let guest: Guest;
  let bootMs = 0;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'cocos-vm-'));
    logFile = join(folder, 'console.log');
    const image = testImage('eos-test');
    const began = performance.now();
    guest = await launchVmGuest({
      image: bootable({ ...image, commandLine: `${image.commandLine} cocos.test=vsock` }),
      vcpus: 2,
      vcpuType: 'EPYC-v3',
      memoryMiB: 512,
      accelerator: 'auto',
      socketDir: folder,
      logFile,
      notice: (message) => console.info(message),
    });
    const line = await new Promise<string>((resolve, reject) => {
      void guest.exited.then(() => reject(new Error(`the guest ended: ${readFileSync(logFile, 'utf8')}`)));
      void guest.transport.listen(HOST_PORTS.ready, (stream) => void readLine(stream).then(resolve, reject));
    });
    bootMs = Math.round(performance.now() - began);
    expect(line).toBe('ready guest');
    console.info(`guest ready after ${bootMs} ms under ${guest.accelerator}`);
  });

  afterAll(async () => {
    await guest?.kill();
    rmSync(folder, { recursive: true, force: true });
  });

  const open = (port: number) => guest.transport.connect(port) as Promise<net.Socket>;

  it('carries small messages in both directions over one connection', async () => {
    const socket = await open(GUEST_PORTS.echo);
    for (const text of ['a', 'bc', 'x'.repeat(100_000)]) {
      socket.write(text);
      expect((await readExactly(socket, text.length)).toString()).toBe(text);
    }
    socket.destroy();
  });

  it('carries 64 MiB from the host to the guest unchanged', async () => {
    const socket = await open(GUEST_PORTS.sink);
    const began = performance.now();
    socket.write(length(BULK));
    for (const chunk of pattern(BULK)) {
      if (!socket.write(chunk)) await new Promise((resolve) => socket.once('drain', resolve));
    }
    const digest = await readExactly(socket, 32);
    console.info(`host to guest: ${(64_000 / (performance.now() - began)).toFixed(1)} MiB/s`);
    expect(digest.toString('hex')).toBe(patternDigest(BULK));
    socket.destroy();
  });

  it('carries 64 MiB from the guest to the host unchanged', async () => {
    const socket = await open(GUEST_PORTS.source);
    const began = performance.now();
    socket.write(length(BULK));
    const bytes = await readExactly(socket, BULK);
    console.info(`guest to host: ${(64_000 / (performance.now() - began)).toFixed(1)} MiB/s`);
    expect(bytes.length).toBe(BULK);
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(patternDigest(BULK));
    socket.destroy();
  });

  it('keeps the guest answering while a peer does not read', async () => {
    const paused = await open(GUEST_PORTS.source);
    await readLine(await open(GUEST_PORTS.lag));
    paused.write(length(BULK));
    paused.pause();
    // A guest whose event loop waits for the peer answers none of these.
    let maxMs = 0;
    for (let answer = 0; answer < 100; answer += 1) {
      maxMs = JSON.parse(await readLine(await open(GUEST_PORTS.lag))).maxMs;
    }
    console.info(`longest hold of the guest's event loop: ${maxMs.toFixed(1)} ms`);
    const bytes = await readExactly(paused, BULK);
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(patternDigest(BULK));
    paused.destroy();
  });

  it('refuses a port at which nobody in the guest listens', async () => {
    await expect(open(7999)).rejects.toMatchObject({ code: 'VSOCK_CONNECT' });
  });

  it('gives the agent what it needs and nothing more', async () => {
    const found = JSON.parse(await readLine(await open(GUEST_PORTS.inspect)));
    expect(found.listening).toEqual(['HOST_PORT_TAKEN']);
    expect(await readLine(await open(GUEST_PORTS.reopened))).toBe('second');
    expect(found.python).toBe('3');
    expect(found.shell).toBe('refused');
    expect(found.refused).toBe('VSOCK_CONNECT');
    expect(found.controllers.split(' ')).toEqual(expect.arrayContaining(['cpu', 'memory', 'pids']));
    expect(found.cgroup).toBe('0::/agent');
    expect(found.interfaces).toEqual(['lo']);
    expect(found.configfs).toContain('tsm');
    expect(found.mounts.find((line: string) => line.split(' ')[1] === '/')).toMatch(/ erofs ro,/);
  });

  it('ends, with the exit code on the console, when the agent ends', async () => {
    const socket = await open(GUEST_PORTS.exit);
    socket.on('error', () => undefined);
    const exit = await guest.exited;
    expect(exit).toEqual({ code: 0, signal: null });
    expect(readFileSync(logFile, 'utf8')).toContain('COCOS-AGENT-EXIT 3');
  });
});

describe.skipIf(reason !== null)('attachVmGuest', () => {
  it('takes over a guest whose manager was killed, and ends all of it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'cocos-vm-'));
    onTestFinished(async () => {
      await endOrphanVm(folder);
      rmSync(folder, { recursive: true, force: true });
    });
    const child = spawn(process.execPath, ['--import', 'tsx', 'test/guest/launch-and-die.ts', folder], {
      stdio: 'inherit',
    });
    const [, signal] = await once(child, 'exit');
    expect(signal).toBe('SIGKILL');
    const record = JSON.parse(readFileSync(join(folder, 'vm.json'), 'utf8'));
    const guest = await attachVmGuest(folder);
    if (guest === null) throw new Error('there is no guest to take over');
    expect(guest.pid).toBe(record.qemu.pid);
    const socket = (await guest.transport.connect(GUEST_PORTS.echo)) as net.Socket;
    socket.write('again');
    expect((await readExactly(socket, 5)).toString()).toBe('again');
    await guest.quit();
    await guest.exited;
    for (const { pid } of [record.qemu, record.vsock.daemon]) expect(isRunning(pid)).toBe(false);
    expect(await attachVmGuest(folder)).toBeNull();
  });
});
