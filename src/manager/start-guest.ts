import os from 'node:os';
import path from 'node:path';
import { CocosError } from '../errors.ts';
import type { EnclaveContext } from '../machines/enclave.machine.ts';
import type { ManagerConfig } from './config.ts';
import type { Guest } from './guest.ts';
import { type LaunchPlan, VCPU_TYPE } from './launch-plan.ts';
import { launchProcessGuest } from './process-guest.ts';
import { launchVmGuest } from './vm/vm-guest.ts';

interface StartOptions {
  readonly config: ManagerConfig;
  readonly enclave: EnclaveContext;
  readonly plan: LaunchPlan;
  readonly socketDir: string;
  readonly logFile: string;
  readonly notice: (message: string) => void;
}

/** Starts the guest of an enclave in its mode. */
export async function startGuest(options: StartOptions): Promise<Guest> {
  const { config, enclave, plan, socketDir, logFile, notice } = options;
  if (enclave.mode === 'process') {
    return launchProcessGuest({
      program: config.agentProgram,
      socketDir: path.join(socketDir, 'ports'),
      workDir: path.join(memoryDir(), `cocosai-${enclave.id}`),
      logFile,
    });
  }
  if (plan.image === null)
    throw new CocosError('INTERNAL', 'A virtual machine was planned without an image.');
  return launchVmGuest({
    image: plan.image,
    vcpus: enclave.vcpus,
    vcpuType: VCPU_TYPE,
    memoryMiB: enclave.memoryMiB,
    accelerator: config.accelerator,
    socketDir,
    logFile,
    notice,
  });
}

/** In process mode inputs lie in the agent's work folder: in memory where the host has a memory file system. */
function memoryDir(): string {
  return os.platform() === 'linux' ? '/dev/shm' : os.tmpdir();
}
