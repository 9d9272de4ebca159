import { accessSync, constants } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { CocosError } from '../../errors.ts';
import type { Guest } from '../guest.ts';
import type { ImageFiles } from '../launch-plan.ts';
import { type AcceleratorChoice, chooseAccelerator } from './accelerator.ts';
import { findQemu, findVsockDaemon } from './find-program.ts';
import { adoptHostProcess, ProcessIdentity } from './host-process.ts';
import { launchVm, type RunningVm, runningVm, socketPaths } from './launch.ts';
import { QmpClient } from './qmp.ts';
import { daemonBackend, hasKernelVsock, kernelBackend } from './vsock-device.ts';

/** In the guest's socket folder: what a later run of the manager needs to find its processes again. */
const RECORD = 'vm.json';
const Record = z.strictObject({
  accelerator: z.enum(['kvm', 'tcg']),
  qemu: ProcessIdentity,
  vsock: z.union([z.object({ daemon: ProcessIdentity }), z.object({ cid: z.int() })]),
});

interface VmGuestOptions {
  readonly image: ImageFiles;
  readonly vcpus: number;
  readonly vcpuType: string;
  readonly memoryMiB: number;
  readonly accelerator: AcceleratorChoice;
  readonly socketDir: string;
  /** Takes the guest's console; what QEMU prints goes to `host.log` beside it. */
  readonly logFile: string;
  readonly notice: (message: string) => void;
}

/**
 * Starts the image in a virtual machine without TEE.
 *
 * @throws CocosError HOST_QEMU_MISSING, HOST_VSOCK_MISSING, HOST_IMAGE_MISSING, VM_LAUNCH_FAILED
 */
export async function launchVmGuest(options: VmGuestOptions): Promise<Guest> {
  const { image, socketDir } = options;
  const qemu = findQemu();
  const imageFolder = dirname(image.kernel);
  // Named before anything is started.
  if (!hasKernelVsock()) findVsockDaemon(imageFolder);
  for (const file of [image.firmware, image.kernel, image.initrd, image.rootImage]) checkImage(file);
  await endStrayVm(socketDir);
  await mkdir(socketDir, { recursive: true, mode: 0o700 });
  await mkdir(dirname(options.logFile), { recursive: true, mode: 0o700 });
  const accelerator = await chooseAccelerator({
    choice: options.accelerator,
    qemu,
    kernel: image.kernel,
    initrd: image.initrd,
    vcpuType: options.vcpuType,
    notice: options.notice,
  });
  const vm = await launchVm({
    qemu,
    imageFolder,
    socketDir,
    hostLog: join(dirname(options.logFile), 'host.log'),
    vm: {
      name: basename(socketDir),
      accelerator,
      vcpuType: options.vcpuType,
      vcpus: options.vcpus,
      memoryMiB: options.memoryMiB,
      protection: { kind: 'none' },
      consolePath: options.logFile,
      image: {
        firmware: image.firmware,
        kernel: image.kernel,
        initrd: image.initrd,
        root: image.rootImage,
        commandLine: image.commandLine,
      },
    },
  });
  const { device, daemon } = vm.vsock;
  const vsock = device.kind === 'kernel' ? { cid: device.cid } : { daemon: daemon?.identity };
  const record = { accelerator, qemu: vm.qemu.identity, vsock };
  try {
    await writeFile(join(socketDir, RECORD), JSON.stringify(record), { mode: 0o600 });
  } catch (cause) {
    await vm.kill();
    throw new CocosError('VM_LAUNCH_FAILED', `Nothing can be written in ${socketDir}.`, { cause });
  }
  return guestOf(vm, accelerator);
}

/**
 * Takes over the guest that an earlier run of the manager started in this folder; null when it has ended or
 * lost a part, in which case the rest of it is ended.
 */
export async function attachVmGuest(socketDir: string): Promise<Guest | null> {
  const record = await readRecord(socketDir);
  if (record === null) return null;
  const paths = socketPaths(socketDir);
  const qemu = adoptHostProcess(record.qemu);
  const vsock = adoptVsock(record, paths);
  const qmp = qemu && vsock ? await QmpClient.connect(paths.qmp).catch(() => null) : null;
  if (qemu !== null && vsock !== null && qmp !== null) {
    return guestOf(runningVm({ qemu, vsock, qmp }), record.accelerator);
  }
  await endStrayVm(socketDir);
  return null;
}

/** Ends what an earlier run left running in this folder, if anything. */
export async function endStrayVm(socketDir: string): Promise<void> {
  const record = await readRecord(socketDir);
  if (record === null) return;
  await adoptHostProcess(record.qemu)?.end();
  if ('daemon' in record.vsock) await adoptHostProcess(record.vsock.daemon)?.end();
  const paths = socketPaths(socketDir);
  for (const path of [...Object.values(paths), join(socketDir, RECORD)]) await rm(path, { force: true });
}

function adoptVsock({ vsock }: z.infer<typeof Record>, paths: ReturnType<typeof socketPaths>) {
  if ('cid' in vsock) return kernelBackend(vsock.cid);
  const daemon = adoptHostProcess(vsock.daemon);
  return daemon === null ? null : daemonBackend(paths, daemon);
}

async function readRecord(socketDir: string): Promise<z.infer<typeof Record> | null> {
  try {
    return Record.parse(JSON.parse(await readFile(join(socketDir, RECORD), 'utf8')));
  } catch {
    return null;
  }
}

function checkImage(file: string): void {
  try {
    accessSync(file, constants.R_OK);
  } catch (cause) {
    throw new CocosError('HOST_IMAGE_MISSING', `${file} cannot be read; npm run eos makes the guest image.`, {
      cause,
    });
  }
}

function guestOf(vm: RunningVm, accelerator: string): Guest {
  return {
    pid: vm.qemu.identity.pid,
    accelerator,
    exited: vm.exited,
    transport: vm.transport,
    quit: () => vm.quit(),
    kill: () => vm.kill(),
  };
}
