import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type HostProcess, startHostProcess } from '../../../../src/manager/guests/vm/host-process.ts';
import { attachVmGuest } from '../../../../src/manager/guests/vm/vm-guest.ts';

/** Real processes that only wait stand in for QEMU, swtpm and the vsock daemon; a fake serves QEMU's QMP. */

const HELLO = '{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}}, "capabilities": []}}\r\n';

/** As QEMU does, serves one client at a time: the next one gets its hello when the one before has gone. */
class FakeQmp {
  private readonly server: net.Server;
  private readonly waiting: net.Socket[] = [];
  private current: net.Socket | null = null;

  private constructor(server: net.Server) {
    this.server = server;
    server.on('connection', (socket) => {
      socket.on('error', () => undefined);
      socket.once('close', () => {
        if (this.current === socket) this.current = null;
        this.serveNext();
      });
      this.waiting.push(socket);
      this.serveNext();
    });
  }

  static async listen(path: string): Promise<FakeQmp> {
    const server = net.createServer();
    const fake = new FakeQmp(server);
    await new Promise<void>((resolve) => server.listen(path, resolve));
    return fake;
  }

  close(): void {
    this.server.close();
    for (const socket of [this.current, ...this.waiting]) socket?.destroy();
  }

  private serveNext(): void {
    if (this.current !== null) return;
    const socket = this.waiting.shift();
    if (socket === undefined) return;
    if (socket.destroyed) return this.serveNext();
    this.current = socket;
    socket.write(HELLO);
    socket.on('data', (chunk) => {
      for (const line of String(chunk).trim().split('\n')) {
        socket.write(`{"return": {}, "id": ${JSON.parse(line).id}}\r\n`);
      }
    });
  }
}

describe('attachVmGuest', () => {
  let folder: string;
  let qmp: FakeQmp;
  let qemu: HostProcess;
  let vtpm: HostProcess;
  let daemon: HostProcess;
  const start = (): Promise<HostProcess> =>
    startHostProcess('sleep', ['600'], join(folder, 'log'), { FOLDER: folder });

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'cocos-a-'));
    [qemu, vtpm, daemon] = await Promise.all([start(), start(), start()]);
    qmp = await FakeQmp.listen(join(folder, 'qmp.sock'));
    const record = {
      accelerator: 'tcg',
      qemu: qemu.identity,
      vtpm: vtpm.identity,
      vsock: { daemon: daemon.identity },
    };
    writeFileSync(join(folder, 'vm.json'), JSON.stringify(record));
  });

  afterEach(async () => {
    qmp.close();
    await Promise.all([qemu, vtpm, daemon].map((process) => process.end()));
    rmSync(folder, { recursive: true });
  });

  it('a process that the record names, but that does not serve this guest, is neither adopted nor ended', async () => {
    const other = await startHostProcess('sleep', ['600'], join(folder, 'log'), { FOLDER: `${folder}2/x` });
    const record = { accelerator: 'tcg', qemu: other.identity, vtpm: null, vsock: { cid: 77 } };
    writeFileSync(join(folder, 'vm.json'), JSON.stringify(record));
    expect(await attachVmGuest(folder)).toBeNull();
    expect(existsSync(`/proc/${other.identity.pid}`)).toBe(true);
    await other.end();
  });

  it('takes a guest over although another client holds its QMP', async () => {
    const holder = net.connect(join(folder, 'qmp.sock'));
    await once(holder, 'data');
    const guest = await attachVmGuest(folder);
    expect(guest?.pid).toBe(qemu.identity.pid);
    holder.destroy();
    await guest?.kill();
  });

  it('takes a guest over again while an earlier handle has not let go of it', async () => {
    await attachVmGuest(folder);
    const guest = await attachVmGuest(folder);
    expect(guest?.pid).toBe(qemu.identity.pid);
    await guest?.kill();
  });

  it('leaves a detached guest running, and its handle silent about what ends later', async () => {
    const first = await attachVmGuest(folder);
    const seen: string[] = [];
    first?.exited.then(() => seen.push('exited'), undefined);
    first?.lost?.then(() => seen.push('lost'), undefined);
    first?.detach();
    const second = await attachVmGuest(folder);
    expect(second?.pid).toBe(qemu.identity.pid);
    await qemu.end();
    await second?.exited;
    expect(seen).toEqual([]);
  });

  it.each(['vtpm', 'vsock'] as const)('ends a guest whose %s is gone, and names it', async (device) => {
    await { vtpm, vsock: daemon }[device].end();
    await expect(attachVmGuest(folder)).rejects.toMatchObject({
      code: 'VM_DEVICE_LOST',
      details: { device },
    });
    await qemu.exited;
  });

  it('finds no guest when QEMU is gone, and ends what served it', async () => {
    await qemu.end();
    expect(await attachVmGuest(folder)).toBeNull();
    await Promise.all([vtpm.exited, daemon.exited]);
  });
});
