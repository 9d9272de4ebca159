import type { LaunchLog } from '../../attestation/evidence/launch-log.ts';
import { measureLaunch } from '../../attestation/measure/launch.ts';
import { attestationCrypto } from '../../crypto/attestation-crypto.ts';
import type { EnclaveContext } from '../../machines/enclave.machine.ts';
import type { ManagerConfig } from '../config.ts';
import { type GuestPlan, readImage, sha256Hex } from '../guests/platforms/guest-plan.ts';
import type { HostFacts } from '../guests/platforms/host-facts.ts';
import { planGuest } from '../guests/platforms/platforms.ts';

/** What will be started and its measurement, computed from the very files that are used. */
export interface LaunchPlan {
  /** Null where the hardware reports registers in place of a digest of everything. */
  readonly launchLog: LaunchLog | null;
  readonly measurement: Uint8Array;
  /** The machine; null in process mode. */
  readonly machine: Pick<GuestPlan, 'image' | 'protection' | 'vcpuType'> | null;
}

/**
 * @param facts what was found on the host
 * @throws CocosError HOST_IMAGE_MISSING when a file of the image or the agent program is not there,
 * HOST_TEE_UNAVAILABLE when the host has lost its platform since the enclave was requested
 */
export async function planLaunch(
  config: ManagerConfig,
  enclave: EnclaveContext,
  facts: () => Promise<HostFacts>,
): Promise<LaunchPlan> {
  if (enclave.mode === 'process') return planProcess(config);
  const { launchLog, measurement, ...machine } = await planGuest(enclave.platform, {
    imageFolder: enclave.imageDir ?? config.eosDir,
    vcpus: enclave.vcpus,
    manifestDigest: enclave.manifestDigest,
    boot: config.boot,
    facts: await facts(),
  });
  return { launchLog, measurement, machine };
}

async function planProcess(config: ManagerConfig): Promise<LaunchPlan> {
  const launchLog: LaunchLog = {
    kind: 'process',
    runtime: sha256Hex(await readImage(process.execPath)),
    agent: sha256Hex(await readImage(config.agentProgram)),
    commandLine: '',
  };
  return { launchLog, measurement: measureLaunch(launchLog, attestationCrypto), machine: null };
}
