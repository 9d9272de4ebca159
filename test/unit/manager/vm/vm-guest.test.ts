import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { launchVmGuest } from '../../../../src/manager/guests/vm/vm-guest.ts';

const SYSTEM = '/usr/local/bin:/usr/bin:/bin';

describe('launchVmGuest', () => {
  let folder: string;
  let path: string | undefined;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'cocos-g-'));
    mkdirSync(join(folder, 'bin'));
    mkdirSync(join(folder, 'image'));
    for (const name of ['bios.bin', 'vmlinuz', 'initrd.img', 'root.img'])
      writeFileSync(join(folder, 'image', name), '');
    path = process.env['PATH'];
    process.env['PATH'] = join(folder, 'bin');
  });

  afterEach(() => {
    process.env['PATH'] = path;
    rmSync(folder, { recursive: true });
  });

  function program(name: string, script: string, where = 'bin'): void {
    writeFileSync(join(folder, where, name), `#!/bin/sh\nPATH=${SYSTEM}\n${script}\n`);
    chmodSync(join(folder, where, name), 0o755);
  }

  /** A daemon that makes its socket file and notes its process id. */
  const DAEMON = `echo $$ >${'$'}{0%/*}/daemon.pid; for w in $(echo "$2" | tr , ' '); do case $w in socket=*) : >"\${w#socket=}";; esac; done; exec sleep 60`;

  const image = (name: string): string => join(folder, 'image', name);
  const launch = () =>
    launchVmGuest({
      image: {
        rootImage: image('root.img'),
        boot: {
          kind: 'direct',
          firmware: image('bios.bin'),
          ...{ kernel: image('vmlinuz'), initrd: image('initrd.img'), commandLine: 'quiet' },
        },
        probe: { kernel: image('vmlinuz'), initrd: image('initrd.img') },
      },
      vcpus: 1,
      vcpuType: 'EPYC-v3',
      memoryMiB: 256,
      accelerator: 'tcg',
      socketDir: join(folder, 's'),
      logFile: join(folder, 'log/console.log'),
      notice: () => undefined,
    });

  it('names a missing QEMU', async () => {
    await expect(launch()).rejects.toMatchObject({ code: 'HOST_QEMU_MISSING' });
  });

  it('names a missing vsock daemon', async () => {
    program('qemu-system-x86_64', 'exit 0');
    await expect(launch()).rejects.toMatchObject({ code: 'HOST_VSOCK_MISSING' });
  });

  it('names a missing image', async () => {
    program('qemu-system-x86_64', 'exit 0');
    program('vhost-device-vsock', 'exit 0');
    rmSync(image('root.img'));
    await expect(launch()).rejects.toMatchObject({ code: 'HOST_IMAGE_MISSING' });
  });

  it('fails when the daemon ends at once', async () => {
    program('qemu-system-x86_64', 'exit 0');
    program('vhost-device-vsock', 'echo no >&2; exit 1', 'image');
    await expect(launch()).rejects.toMatchObject({ code: 'VM_LAUNCH_FAILED' });
  });

  it('ends the daemon, and tells what QEMU said, when QEMU does not start', async () => {
    program('qemu-system-x86_64', 'echo cannot allocate memory >&2; exit 1');
    program('vhost-device-vsock', DAEMON);
    await expect(launch()).rejects.toMatchObject({
      code: 'VM_LAUNCH_FAILED',
      details: { tail: expect.stringContaining('cannot allocate memory') },
    });
    const pid = readFileSync(join(folder, 'bin/daemon.pid'), 'utf8').trim();
    expect(existsSync(`/proc/${pid}`)).toBe(false);
  });

  it('refuses a socket folder whose paths the kernel would not take', async () => {
    program('qemu-system-x86_64', 'exit 0');
    program('vhost-device-vsock', DAEMON);
    const long = join(folder, 'x'.repeat(100));
    const before = folder;
    folder = long;
    mkdirSync(join(long, 'image'), { recursive: true });
    for (const name of ['bios.bin', 'vmlinuz', 'initrd.img', 'root.img']) writeFileSync(image(name), '');
    const launched = launch();
    folder = before;
    await expect(launched).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });
});
