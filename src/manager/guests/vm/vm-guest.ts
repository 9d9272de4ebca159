import { accessSync, constants } from 'node:fs';
import { mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { CocosError } from '../../../errors.ts';
import type { Guest } from '../guest.ts';
import { launchArguments } from '../platforms/platforms.ts';
import type { Protection } from '../platforms/protection.ts';
import { type AcceleratorChoice, chooseAccelerator } from './accelerator.ts';
import { type BootFiles, filesOf, type ImageFiles } from './boot-files.ts';
import { livesOn, lossOf } from './device-watch.ts';
import { findQemu, findVsockDaemon } from './find-program.ts';
import { adoptHostProcess, ProcessIdentity } from './host-process.ts';
import { launchVm, type RunningVm, runningVm, socketPaths } from './launch.ts';
import { qmpCommands } from './qmp.ts';
import { daemonBackend, hasKernelVsock, kernelBackend } from './vsock-device.ts';

/** In the guest's socket folder: the identities by which a later run of the manager finds the processes. */
const RECORD = 'vm.json';
/** Beside the guest's log. */
export const SCRATCH = 'scratch.img';
/** What QEMU and the programs that serve it print. */
export const HOST_LOG = 'host.log';
const MIB = 1024 * 1024;
const Record = z.strictObject({
  accelerator: z.enum(['kvm', 'tcg']),
  qemu: ProcessIdentity,
  vtpm: ProcessIdentity.nullable(),
  vsock: z.union([z.object({ daemon: ProcessIdentity }), z.object({ cid: z.int() })]),
});

interface VmGuestOptions {
  readonly image: ImageFiles;
  readonly vcpus: number;
  readonly vcpuType: string;
  readonly memoryMiB: number;
  readonly accelerator: AcceleratorChoice;
  /** Left out for a guest that nothing protects. */
  readonly protection?: Protection;
  readonly socketDir: string;
  /** Folder of the state that `manufactureVtpm` made; null or left out for a guest without TPM. */
  readonly vtpmFolder?: string | null;
  /** Size of the guest's encrypted scratch disk, which lies beside the log; 0 or left out for none. */
  readonly scratchMiB?: number;
  /** Takes the guest's console; what QEMU prints goes to {@link HOST_LOG} beside it. */
  readonly logFile: string;
  readonly notice: (message: string) => void;
}

/**
 * Starts the image in a virtual machine, protected as its platform can.
 *
 * @throws CocosError HOST_QEMU_MISSING, HOST_VSOCK_MISSING, HOST_IMAGE_MISSING, VM_LAUNCH_FAILED
 */
export async function launchVmGuest(options: VmGuestOptions): Promise<Guest> {
  const { image, socketDir, protection = { kind: 'emulated' } } = options;
  const qemu = findQemu();
  const imageFolder = dirname(image.probe.kernel);
  // Reported before anything is started.
  if (!hasKernelVsock()) findVsockDaemon(imageFolder);
  for (const file of filesOf(image)) checkImage(file);
  await endOrphanVm(socketDir);
  await mkdir(socketDir, { recursive: true, mode: 0o700 });
  await mkdir(dirname(options.logFile), { recursive: true, mode: 0o700 });
  // QEMU appends, so that the manager can cut it.
  await writeFile(options.logFile, '', { mode: 0o600 });
  const accelerator = await chooseAccelerator({
    // A host that can protect a guest runs one under KVM.
    choice: launchArguments(protection).needsKvm ? 'kvm' : options.accelerator,
    qemu,
    ...image.probe,
    vcpuType: options.vcpuType,
    notice: options.notice,
  });
  const scratchPath = await makeScratch(join(dirname(options.logFile), SCRATCH), options.scratchMiB ?? 0);
  const vm = await launchVm({
    qemu,
    imageFolder,
    socketDir,
    hostLog: join(dirname(options.logFile), HOST_LOG),
    vtpmFolder: options.vtpmFolder ?? null,
    vm: {
      name: basename(socketDir),
      accelerator,
      vcpuType: options.vcpuType,
      vcpus: options.vcpus,
      memoryMiB: options.memoryMiB,
      protection,
      consolePath: options.logFile,
      scratchPath,
      boot: await ownFiles(image.boot, dirname(options.logFile)),
      rootImage: image.rootImage,
    },
  });
  const { device, daemon } = vm.vsock;
  const vsock = device.kind === 'kernel' ? { cid: device.cid } : { daemon: daemon?.identity };
  const record = { accelerator, qemu: vm.qemu.identity, vtpm: vm.vtpm?.identity ?? null, vsock };
  try {
    await writeFile(join(socketDir, RECORD), JSON.stringify(record), { mode: 0o600 });
  } catch (cause) {
    await vm.kill();
    throw new CocosError('VM_LAUNCH_FAILED', `Nothing can be written in ${socketDir}.`, { cause });
  }
  return guestOf(vm, accelerator);
}

/**
 * Takes over the guest that was started in this folder, by this manager or an earlier run of it; null when it has
 * ended. Its processes alone decide: a QMP that does not answer says nothing about the guest.
 *
 * @throws CocosError VM_DEVICE_LOST when a process that serves the guest has ended; the rest of the guest is ended too
 */
export async function attachVmGuest(socketDir: string): Promise<Guest | null> {
  const record = await readRecord(socketDir);
  if (record === null) return null;
  const paths = socketPaths(socketDir);
  const qemu = adoptHostProcess(record.qemu, socketDir);
  const vsock = adoptVsock(record, socketDir);
  const vtpm = record.vtpm === null ? null : adoptHostProcess(record.vtpm, socketDir);
  const hasVtpm = vtpm !== null || record.vtpm === null;
  const qmp = qmpCommands(paths.qmp);
  if (qemu !== null && vsock !== null && hasVtpm) {
    return guestOf(runningVm({ qemu, vsock, vtpm, qmp }), record.accelerator);
  }
  // Its devices also end when QEMU does, perhaps a moment before it.
  const hasLostDevice = qemu !== null && (await livesOn(qemu, qmp));
  await endOrphanVm(socketDir);
  if (hasLostDevice) throw lossOf(vsock === null ? 'vsock' : 'vtpm', null);
  return null;
}

/** Ends what an earlier run left running in this folder, if anything. */
export async function endOrphanVm(socketDir: string): Promise<void> {
  const record = await readRecord(socketDir);
  if (record !== null) {
    await adoptHostProcess(record.qemu, socketDir)?.end();
    if (record.vtpm !== null) await adoptHostProcess(record.vtpm, socketDir)?.end();
    if ('daemon' in record.vsock) await adoptHostProcess(record.vsock.daemon, socketDir)?.end();
  }
  // Also where nothing was recorded: an existing socket file counts as a listening one.
  const paths = socketPaths(socketDir);
  for (const path of [...Object.values(paths), join(socketDir, RECORD)]) await rm(path, { force: true });
}

function adoptVsock({ vsock }: z.infer<typeof Record>, socketDir: string) {
  if ('cid' in vsock) return kernelBackend(vsock.cid);
  const daemon = adoptHostProcess(vsock.daemon, socketDir);
  return daemon === null ? null : daemonBackend(socketPaths(socketDir), daemon);
}

async function readRecord(socketDir: string): Promise<z.infer<typeof Record> | null> {
  try {
    return Record.parse(JSON.parse(await readFile(join(socketDir, RECORD), 'utf8')));
  } catch {
    return null;
  }
}

/** An empty sparse file; the guest makes key and file system itself. */
async function makeScratch(file: string, sizeMiB: number): Promise<string | null> {
  if (sizeMiB === 0) return null;
  await writeFile(file, '', { mode: 0o600 });
  await truncate(file, sizeMiB * MIB);
  return file;
}

/** The firmware writes its variables: each guest has its own copy. */
async function ownFiles(boot: BootFiles, folder: string): Promise<BootFiles> {
  if (boot.kind !== 'uefi') return boot;
  const variables = join(folder, 'variables.fd');
  await writeFile(variables, await readFile(boot.variables), { mode: 0o600 });
  return { ...boot, variables };
}

function checkImage(file: string): void {
  try {
    accessSync(file, constants.R_OK);
  } catch (cause) {
    throw new CocosError(
      'HOST_IMAGE_MISSING',
      `${file} cannot be read. Build the guest image with: npm run eos`,
      {
        cause,
      },
    );
  }
}

function guestOf(vm: RunningVm, accelerator: string): Guest {
  return {
    pid: vm.qemu.identity.pid,
    accelerator,
    exited: vm.exited,
    lost: vm.lost,
    transport: vm.transport,
    detach: () => vm.detach(),
    quit: () => vm.quit(),
    kill: () => vm.kill(),
  };
}
