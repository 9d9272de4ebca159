import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { CocosError } from '../../../errors.ts';
import type { Transport } from '../../../link/transport/transport.ts';
import type { GuestExit } from '../guest.ts';
import { explainFailure } from '../platforms/platforms.ts';
import { deviceLost } from './device-watch.ts';
import { type HostProcess, startHostProcess } from './host-process.ts';
import { qemuArgs } from './qemu-args.ts';
import { type QmpCommands, qmpCommands } from './qmp.ts';
import { firstHello } from './qmp-hello.ts';
import { startVtpm } from './swtpm.ts';
import type { VmConfig } from './vm-config.ts';
import { openVsockDevice, type VsockBackend } from './vsock-device.ts';

/** Longest path of a unix socket, less room for the port that is appended. */
const SOCKET_PATH_LIMIT = 100;
/** How long the first hello of QEMU is waited for. */
const HELLO_LIMIT_MS = 15_000;
const QUIT_LIMIT_MS = 5_000;
const LOG_TAIL = 500;

export interface LaunchConfig {
  readonly qemu: string;
  /** Folder of the image; the vsock daemon may lie beside it. */
  readonly imageFolder: string;
  /** Folder of the sockets; short, and of this guest alone. */
  readonly socketDir: string;
  /** Takes what QEMU and the daemon print. */
  readonly hostLog: string;
  /** All of the machine but its sockets. */
  readonly vm: Omit<VmConfig, 'qmpPath' | 'vsock' | 'tpmPath'>;
  /** Folder of the guest's vTPM; null for a guest without. */
  readonly vtpmFolder: string | null;
}

export interface RunningVm {
  readonly qemu: HostProcess;
  readonly vsock: VsockBackend;
  readonly vtpm: HostProcess | null;
  readonly qmp: QmpCommands;
  readonly transport: Transport;
  /** QEMU's exit, for whatever reason. The processes that serve it end soon after; `kill` waits for that. */
  readonly exited: Promise<GuestExit>;
  /** Resolves with the cause when what serves QEMU ended before it. */
  readonly lost: Promise<CocosError>;
  /** Releases every watcher, and leaves QEMU and what serves it running. */
  detach(): void;
  /** Ends the guest by QMP, without its help, and then by signals. */
  quit(): Promise<void>;
  /** Ends QEMU and what serves it by signals. Resolves when all are gone. */
  kill(): Promise<void>;
}

/** Sockets of a guest in its folder. */
export function socketPaths(socketDir: string): { qmp: string; device: string; vsock: string; vtpm: string } {
  const paths = {
    qmp: `${socketDir}/qmp.sock`,
    device: `${socketDir}/vhost.sock`,
    vsock: `${socketDir}/v.sock`,
    vtpm: `${socketDir}/tpm.sock`,
  };
  // The longest is the one of a guest's connections to the highest port.
  if (Buffer.byteLength(`${paths.vsock}_4294967295`) > SOCKET_PATH_LIMIT) {
    throw new CocosError('CONFIG_INVALID', `The socket folder ${socketDir} has too long a path.`);
  }
  return paths;
}

/**
 * Starts a virtual machine: its vsock daemon, its vTPM and QEMU. Whatever was started is ended again when a later
 * step fails.
 *
 * @throws CocosError VM_LAUNCH_FAILED with the end of the log, CONFIG_INVALID for values out of range
 */
export async function launchVm(config: LaunchConfig): Promise<RunningVm> {
  const paths = socketPaths(config.socketDir);
  const vsock = await openVsockDevice(paths, config.imageFolder, config.hostLog);
  let qemu: HostProcess | null = null;
  let vtpm: HostProcess | null = null;
  try {
    const { vtpmFolder: folder, hostLog: logPath } = config;
    if (folder !== null) vtpm = await startVtpm({ folder, logPath }, paths.vtpm);
    const tpmPath = vtpm === null ? null : paths.vtpm;
    const vm: VmConfig = { ...config.vm, qmpPath: paths.qmp, vsock: vsock.device, tpmPath };
    qemu = await startHostProcess(config.qemu, qemuArgs(vm), config.hostLog);
    await checkStart(qemu, paths.qmp, config);
    return runningVm({ qemu, vsock, vtpm, qmp: qmpCommands(paths.qmp) });
  } catch (error) {
    await qemu?.end();
    await vtpm?.end();
    await vsock.daemon?.end();
    throw error;
  }
}

interface VmParts {
  readonly qemu: HostProcess;
  readonly vsock: VsockBackend;
  readonly vtpm: HostProcess | null;
  readonly qmp: QmpCommands;
}

/** The handle of a machine whose parts run. */
export function runningVm({ qemu, vsock, vtpm, qmp }: VmParts): RunningVm {
  // `exited` does not wait for this: a caller that waits for the agent must learn of QEMU's exit at once.
  const watch = new AbortController();
  const cleared = qemu.exited.then(async () => {
    await Promise.all([vtpm?.end(), vsock.daemon?.end()]);
  });
  cleared.catch(() => undefined);
  const kill = async (): Promise<void> => {
    await qemu.end();
    await cleared;
  };
  return {
    qemu,
    vsock,
    vtpm,
    qmp,
    exited: qemu.exited,
    lost: deviceLost({ qemu, qmp, vtpm, vsock: vsock.daemon }, watch.signal),
    transport: vsock.transport,
    detach: () => {
      watch.abort();
      for (const process of [qemu, vtpm, vsock.daemon]) process?.detach();
    },
    kill,
    quit: async () => {
      // QEMU may end before it answers, which is what was asked for.
      await qmp.execute('quit', {}, QUIT_LIMIT_MS).catch(() => undefined);
      const timeout = new AbortController();
      await Promise.race([
        qemu.exited,
        sleep(QUIT_LIMIT_MS, undefined, { signal: timeout.signal }).catch(() => undefined),
      ]);
      timeout.abort();
      await kill();
    },
  };
}

/**
 * Waits for the first hello of QEMU, since one that cannot start ends at once and has said why in its log. One that is
 * merely slow is running: whether its guest boots in time is judged by the enclave's own deadline.
 *
 * @throws CocosError VM_LAUNCH_FAILED when QEMU has ended
 */
async function checkStart(qemu: HostProcess, path: string, { hostLog, vm }: LaunchConfig): Promise<void> {
  const hello = await firstHello(qemu, path, HELLO_LIMIT_MS);
  if (hello !== 'ended') return hello === 'late' ? undefined : hello.close();
  const tail = tailOf(hostLog);
  const why = explainFailure(vm.protection.kind, tail);
  const meaning = why === null ? '' : ` ${why}`;
  throw new CocosError('VM_LAUNCH_FAILED', `QEMU ended at once; its output is in ${hostLog}.${meaning}`, {
    details: { log: hostLog, tail },
  });
}

function tailOf(path: string): string {
  try {
    return readFileSync(path, 'utf8').slice(-LOG_TAIL);
  } catch {
    return '';
  }
}
