import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { CocosError } from '../../../errors.ts';
import { type HostProcess, startHostProcess } from './host-process.ts';

/** Any context id above the reserved ones will do: each guest has its own daemon, and so its own address space. */
const GUEST_CID = 3;
/**
 * Credit offered to the guest, in bytes. Packets over 32 KiB, which newer guest kernels send when they may,
 * stop the daemon for good without a word.
 */
const TX_BUFFER_SIZE = 28_672;
/** Long, for a busy host: one that fails ends, and is not waited for. */
const START_LIMIT_MS = 30_000;
const POLL_MS = 10;

interface VsockDaemonOptions {
  readonly program: string;
  /** Socket that QEMU connects to. */
  readonly devicePath: string;
  /** Socket for connections to the guest; those from the guest go to `<udsPath>_<port>`. */
  readonly udsPath: string;
  readonly logPath: string;
}

/**
 * Starts vhost-device-vsock for one guest and waits until QEMU can connect. It must outlive every restart of
 * the manager: once it ends, the guest's vsock is dead for good.
 *
 * @throws CocosError VM_LAUNCH_FAILED when it ends, or has no socket within thirty seconds
 */
export async function startVsockDaemon(options: VsockDaemonOptions): Promise<HostProcess> {
  const device = [
    `guest-cid=${GUEST_CID}`,
    `socket=${options.devicePath}`,
    `uds-path=${options.udsPath}`,
    `tx-buffer-size=${TX_BUFFER_SIZE}`,
  ];
  if (/[,\s]/.test(options.devicePath + options.udsPath)) {
    throw new CocosError(
      'CONFIG_INVALID',
      `A vsock socket path holds a comma or a space: ${options.udsPath}`,
    );
  }
  const daemon = await startHostProcess(options.program, ['--vm', device.join(',')], options.logPath);
  let hasEnded = false;
  daemon.exited.then(() => {
    hasEnded = true;
  }, undefined);
  const deadline = performance.now() + START_LIMIT_MS;
  while (!existsSync(options.devicePath)) {
    if (hasEnded || performance.now() > deadline) {
      await daemon.end();
      throw new CocosError('VM_LAUNCH_FAILED', `The vsock daemon did not start; see ${options.logPath}.`);
    }
    await sleep(POLL_MS);
  }
  return daemon;
}
