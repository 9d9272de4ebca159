import { randomInt } from 'node:crypto';
import { accessSync, constants } from 'node:fs';
import { hybridTransport } from '../../../link/transport/hybrid-vsock.ts';
import type { Transport } from '../../../link/transport/transport.ts';
import { vsockTransport } from '../../../link/transport/vsock.ts';
import { callbackHost } from '../../../link/wire/callback.ts';
import { findVsockDaemon } from './find-program.ts';
import type { HostProcess } from './host-process.ts';
import type { VsockDevice } from './vm-config.ts';
import { startVsockDaemon } from './vsock-daemon.ts';

const KERNEL_DEVICE = '/dev/vhost-vsock';
/** Context ids below 3 are reserved (linux/vm_sockets.h); a guest's is chosen at random above. */
const FIRST_CID = 3;
const LAST_CID = 0x7fff_ffff;

/** A guest's vsock device with the host's end of it. */
export interface VsockBackend {
  readonly device: VsockDevice;
  readonly transport: Transport;
  /** What serves the device; null where the kernel does. */
  readonly daemon: HostProcess | null;
}

interface VsockPaths {
  readonly device: string;
  readonly vsock: string;
}

export function hasKernelVsock(): boolean {
  try {
    accessSync(KERNEL_DEVICE, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * The kernel's vhost-vsock where this host has it, else vhost-device-vsock.
 *
 * @throws CocosError HOST_VSOCK_MISSING when there is neither, VM_LAUNCH_FAILED when the daemon does not start
 */
export async function openVsockDevice(
  paths: VsockPaths,
  imageFolder: string,
  logPath: string,
): Promise<VsockBackend> {
  if (hasKernelVsock()) return kernelBackend(randomInt(FIRST_CID, LAST_CID));
  const daemon = await startVsockDaemon({
    program: findVsockDaemon(imageFolder),
    devicePath: paths.device,
    udsPath: paths.vsock,
    logPath,
  });
  return daemonBackend(paths, daemon);
}

/** The kernel gives the connections of all guests to one listener, so this host calls its guests back. */
export function kernelBackend(cid: number): VsockBackend {
  return { device: { kind: 'kernel', cid }, transport: callbackHost(vsockTransport(cid)), daemon: null };
}

export function daemonBackend(paths: VsockPaths, daemon: HostProcess): VsockBackend {
  return {
    device: { kind: 'daemon', socketPath: paths.device },
    transport: hybridTransport(paths.vsock),
    daemon,
  };
}
