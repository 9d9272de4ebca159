import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { LaunchLog } from '../../attestation/evidence/launch-log.ts';
import { measureLaunch } from '../../attestation/measure/launch.ts';
import { peSection } from '../../attestation/measure/pe.ts';
import { firmwareState } from '../../attestation/measure/snp.ts';
import { attestationCrypto } from '../../crypto/attestation-crypto.ts';
import { CocosError } from '../../errors.ts';
import type { EnclaveContext } from '../../machines/enclave.machine.ts';
import type { ManagerConfig } from '../config.ts';

/** vCPU model given to QEMU and to the launch measurement. */
export const VCPU_TYPE = 'EPYC-v3';
/** SEV_FEATURES: SNP active, nothing else. */
const GUEST_FEATURES = 0x1;

export interface ImageFiles {
  readonly firmware: string;
  readonly kernel: string;
  readonly initrd: string;
  readonly rootImage: string;
  readonly commandLine: string;
  /** What takes the place of firmware, kernel, initrd and command line in a UEFI boot; left out for a direct one. */
  readonly uefi?: UefiFiles | undefined;
}

export interface UefiFiles {
  /** Code of the firmware. */
  readonly firmware: string;
  /** Variable store that each guest gets a copy of. */
  readonly variables: string;
  /** Unified kernel image. */
  readonly kernel: string;
}

/** What will be started and its measurement, computed from the very files that are given to QEMU. */
export interface LaunchPlan {
  readonly launchLog: LaunchLog;
  readonly measurement: Uint8Array;
  /** Null in process mode. */
  readonly image: ImageFiles | null;
}

/** @throws CocosError HOST_IMAGE_MISSING when a file of the image or the agent program is not there. */
export async function planLaunch(config: ManagerConfig, enclave: EnclaveContext): Promise<LaunchPlan> {
  if (enclave.mode === 'process') return planProcess(config);
  return planVm(enclave.imageDir ?? config.eosDir, enclave, config.boot);
}

async function planVm(
  imageDir: string,
  enclave: EnclaveContext,
  boot: ManagerConfig['boot'],
): Promise<LaunchPlan> {
  const fileOf = (name: string) => path.join(imageDir, name);
  const commandLine = (await readImage(fileOf('cmdline'))).toString('utf8').trim();
  const image: ImageFiles = {
    firmware: fileOf('bios.bin'),
    kernel: fileOf('vmlinuz'),
    initrd: fileOf('initrd.img'),
    rootImage: fileOf('root.img'),
    commandLine,
    ...(boot === 'uefi'
      ? {
          uefi: {
            firmware: fileOf('ovmf-code.fd'),
            variables: fileOf('ovmf-vars.fd'),
            kernel: fileOf('eos.efi'),
          },
        }
      : {}),
  };
  if (image.uefi !== undefined) return planUefi(image, image.uefi, enclave);
  const firmware = firmwareState(await readImage(image.firmware), attestationCrypto);
  const launchLog: LaunchLog = {
    kind: 'vm',
    firmware: {
      name: path.basename(image.firmware),
      digest: firmware.state,
      ...(firmware.layout === undefined ? {} : { layout: firmware.layout }),
    },
    kernel: sha256Hex(await readImage(image.kernel)),
    initrd: sha256Hex(await readImage(image.initrd)),
    commandLine,
    vcpus: enclave.vcpus,
    vcpuType: VCPU_TYPE,
    guestFeatures: GUEST_FEATURES,
  };
  return { launchLog, measurement: measureLaunch(launchLog, attestationCrypto), image };
}

/**
 * A UEFI boot: the kernel is the unified image, and its command line and initrd are what lies in it. The firmware has
 * no table of kernel hashes, so the emulated measurement takes the form of plain firmware; what was booted is proven
 * by the vTPM.
 */
async function planUefi(image: ImageFiles, uefi: UefiFiles, enclave: EnclaveContext): Promise<LaunchPlan> {
  const uki = await readImage(uefi.kernel);
  await readImage(uefi.variables);
  const section = (name: string): Uint8Array => peSection(uki, name) ?? new Uint8Array();
  const { state } = firmwareState(await readImage(uefi.firmware), attestationCrypto);
  const launchLog: LaunchLog = {
    kind: 'vm',
    firmware: { name: path.basename(uefi.firmware), digest: state },
    kernel: sha256Hex(uki),
    initrd: sha256Hex(section('.initrd')),
    commandLine: Buffer.from(section('.cmdline')).toString('utf8'),
    vcpus: enclave.vcpus,
    vcpuType: VCPU_TYPE,
    guestFeatures: GUEST_FEATURES,
  };
  return { launchLog, measurement: measureLaunch(launchLog, attestationCrypto), image };
}

async function planProcess(config: ManagerConfig): Promise<LaunchPlan> {
  const launchLog: LaunchLog = {
    kind: 'process',
    runtime: sha256Hex(await readImage(process.execPath)),
    agent: sha256Hex(await readImage(config.agentProgram)),
    commandLine: '',
  };
  return { launchLog, measurement: measureLaunch(launchLog, attestationCrypto), image: null };
}

function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function readImage(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
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
