import os from 'node:os';
import path from 'node:path';
import { CocosError } from '../../errors.ts';
import type { EnclaveContext } from '../../machines/enclave.machine.ts';
import type { ManagerConfig } from '../config.ts';
import type { Guest } from '../guests/guest.ts';
import { attachProcessGuest, endOrphanProcess, launchProcessGuest } from '../guests/process-guest.ts';
import { attachVmGuest, endOrphanVm, launchVmGuest } from '../guests/vm/vm-guest.ts';
import { endUnrecorded } from '../store/recovery.ts';
import type { LaunchPlan } from './launch-plan.ts';

interface StartOptions {
  readonly config: ManagerConfig;
  readonly enclave: EnclaveContext;
  readonly plan: LaunchPlan;
  readonly socketDir: string;
  /** Folder of the vTPM's state; null for a guest without. */
  readonly vtpmFolder: string | null;
  readonly logFile: string;
  readonly notice: (message: string) => void;
}

/** Starts the guest of an enclave in its mode. */
export async function startGuest(options: StartOptions): Promise<Guest> {
  const { config, enclave, plan, socketDir, vtpmFolder, logFile, notice } = options;
  await endUnrecorded(config.runDir, enclave.id);
  if (enclave.mode === 'process') {
    return launchProcessGuest({
      program: config.agentProgram,
      ...processFiles(enclave.id, socketDir),
      logFile,
      settings: config.agentSettings,
    });
  }
  if (plan.machine === null)
    throw new CocosError('INTERNAL', 'A virtual machine was planned without an image.');
  return launchVmGuest({
    ...plan.machine,
    vcpus: enclave.vcpus,
    memoryMiB: enclave.memoryMiB,
    accelerator: config.accelerator,
    socketDir,
    vtpmFolder,
    scratchMiB: config.diskMiB,
    logFile,
    notice,
  });
}

/** In process mode inputs lie in the agent's work folder: in memory where the host has a memory file system. */
function memoryDir(): string {
  return os.platform() === 'linux' ? '/dev/shm' : os.tmpdir();
}

function processFiles(id: string, socketDir: string) {
  return { socketDir: path.join(socketDir, 'ports'), workDir: path.join(memoryDir(), `cocosai-${id}`) };
}

/** Takes over the guest that an earlier run of the manager started for an enclave; null when it has ended. */
export function attachGuest({ mode, id }: EnclaveContext, socketDir: string): Promise<Guest | null> {
  return mode === 'process' ? attachProcessGuest(processFiles(id, socketDir)) : attachVmGuest(socketDir);
}

/** Ends what runs for an enclave although nobody holds it. */
export function endOrphanGuest({ mode, id }: EnclaveContext, socketDir: string): Promise<void> {
  return mode === 'process' ? endOrphanProcess(processFiles(id, socketDir)) : endOrphanVm(socketDir);
}
