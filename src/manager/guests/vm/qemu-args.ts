import { CocosError } from '../../../errors.ts';
import { launchArguments } from '../platforms/platforms.ts';
import type { VmConfig } from './vm-config.ts';

/** Most vCPUs that the reference values of an image cover. */
const MAX_VCPUS = 8;
const MIN_MEMORY_MIB = 256;
const UEFI_MACHINE = 'q35,smm=on,memory-backend=mem,pflash0=code,pflash1=vars';
const MAX_MEMORY_MIB = 1_048_576;

/**
 * The arguments of qemu-system-x86_64 for one guest: nothing that is not asked for, no network device, no
 * display, a read-only root disk, the console into a file, QMP on a unix socket.
 *
 * @throws CocosError CONFIG_INVALID when a value is out of range or could be read as another option
 */
export function qemuArgs(config: VmConfig): string[] {
  check(config);
  const memory = `${config.memoryMiB}M`;
  const args = [
    ...['-name', config.name, '-nodefaults', '-no-user-config', '-no-reboot'],
    ...['-display', 'none', '-monitor', 'none', '-nic', 'none'],
    ...['-machine', machineOption(config), '-accel', accelOption(config)],
    ...['-cpu', config.vcpuType, '-smp', String(config.vcpus), '-m', memory],
    // Shared, since the vsock daemon reads and writes the guest's queues in it.
    ...['-object', `memory-backend-memfd,id=mem,size=${memory},share=on`],
    ...launchArguments(config.protection).objects.flatMap((object) => ['-object', object]),
    ...bootOptions(config),
    ...[
      '-blockdev',
      `driver=raw,node-name=root,read-only=on,file.driver=file,file.filename=${doubled(config.rootImage)}`,
    ],
    ...['-device', 'virtio-blk-pci,drive=root'],
    ...[
      '-chardev',
      `file,id=console,append=on,path=${doubled(config.consolePath)}`,
      '-serial',
      'chardev:console',
    ],
    ...['-qmp', `unix:${doubled(config.qmpPath)},server=on,wait=off`],
  ];
  if (config.scratchPath !== null) {
    const file = `file.driver=file,file.filename=${doubled(config.scratchPath)}`;
    args.push('-blockdev', `driver=raw,node-name=scratch,discard=unmap,${file}`);
    args.push('-device', 'virtio-blk-pci,drive=scratch');
  }
  if (config.tpmPath !== null) {
    args.push('-chardev', `socket,id=tpm,path=${doubled(config.tpmPath)}`);
    args.push('-tpmdev', 'emulator,id=tpm0,chardev=tpm', '-device', 'tpm-crb,tpmdev=tpm0');
  }
  if (config.vsock?.kind === 'daemon') {
    args.push('-chardev', `socket,id=vsock,path=${doubled(config.vsock.socketPath)}`);
    args.push('-device', 'vhost-user-vsock-pci,chardev=vsock');
  } else if (config.vsock?.kind === 'kernel') {
    args.push('-device', `vhost-vsock-pci,guest-cid=${config.vsock.cid}`);
  }
  return args;
}

function check(config: VmConfig): void {
  const refuse = (what: string): never => {
    throw new CocosError('CONFIG_INVALID', `The virtual machine cannot have ${what}.`);
  };
  if (!/^[A-Za-z0-9][A-Za-z0-9.-]{0,63}$/.test(config.name)) refuse(`the name ${config.name}`);
  if (!/^[A-Za-z0-9][A-Za-z0-9.-]{0,63}$/.test(config.vcpuType)) refuse(`the CPU model ${config.vcpuType}`);
  const { vcpus, memoryMiB } = config;
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > MAX_VCPUS)
    refuse(`${vcpus} vCPUs (1 to ${MAX_VCPUS})`);
  if (!Number.isInteger(memoryMiB) || memoryMiB < MIN_MEMORY_MIB || memoryMiB > MAX_MEMORY_MIB) {
    refuse(`${memoryMiB} MiB of memory (${MIN_MEMORY_MIB} to ${MAX_MEMORY_MIB})`);
  }
  if (launchArguments(config.protection).needsKvm && config.accelerator !== 'kvm')
    refuse('a TEE without KVM');
}

function accelOption(config: VmConfig): string {
  return config.accelerator === 'kvm' ? 'kvm' : 'tcg,thread=multi';
}

/** What the machine starts from. */
function bootOptions({ boot }: VmConfig): string[] {
  const flash = (name: string, file: string, isReadOnly: boolean): string[] => [
    '-blockdev',
    `driver=raw,node-name=${name},read-only=${isReadOnly ? 'on' : 'off'},file.driver=file,file.filename=${doubled(file)}`,
  ];
  switch (boot.kind) {
    case 'direct': {
      const kernel = ['-kernel', boot.kernel, '-initrd', boot.initrd, '-append', boot.commandLine];
      return ['-bios', boot.firmware, ...kernel];
    }
    case 'unified':
      return ['-bios', boot.firmware, '-kernel', boot.kernel];
    case 'uefi':
      return [
        ...flash('code', boot.firmware, true),
        ...flash('vars', boot.variables, false),
        // Only the firmware's system management mode may write the variables, as Secure Boot needs.
        ...['-global', 'driver=cfi.pflash01,property=secure,value=on', '-global', 'ICH9-LPC.disable_s3=1'],
        ...['-kernel', boot.kernel],
      ];
  }
}

function machineOption({ protection, boot }: VmConfig): string {
  const base = boot.kind === 'uefi' ? UEFI_MACHINE : 'q35,memory-backend=mem';
  return `${base}${launchArguments(protection).machine}`;
}

/** In QEMU's option lists a comma is written twice. */
function doubled(path: string): string {
  return path.replaceAll(',', ',,');
}
