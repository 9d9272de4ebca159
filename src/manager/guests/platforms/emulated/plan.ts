import path from 'node:path';
import type { VmLaunchLog } from '../../../../attestation/evidence/launch-log.ts';
import { measureLaunch } from '../../../../attestation/measure/launch.ts';
import { peSection } from '../../../../attestation/measure/pe.ts';
import { firmwareState } from '../../../../attestation/measure/snp.ts';
import { attestationCrypto } from '../../../../crypto/attestation-crypto.ts';
import {
  directBoot,
  directLog,
  GUEST_FEATURES,
  type GuestPlan,
  imageFiles,
  type PlannedGuest,
  readImage,
  sha256Hex,
} from '../guest-plan.ts';

/** CPU model given to QEMU and to the launch measurement. */
const VCPU_TYPE = 'EPYC-v3';

/** The launch of a guest that nothing protects; the host's emulated processor reports it as hardware would. */
export async function planEmulated(guest: PlannedGuest): Promise<GuestPlan> {
  const base = { protection: { kind: 'emulated' as const }, vcpuType: VCPU_TYPE };
  if (guest.boot === 'uefi') return { ...base, ...(await planUefi(guest)) };
  const { boot, image } = await directBoot(guest.imageFolder, 'bios.bin');
  const launchLog = await directLog(boot, { vcpus: guest.vcpus, vcpuType: VCPU_TYPE });
  return { ...base, image, launchLog, measurement: measureLaunch(launchLog, attestationCrypto) };
}

/**
 * A UEFI boot: the kernel is the unified image, and its command line and initrd are what lies in it. The firmware has
 * no table of kernel hashes, so the emulated measurement takes the form of plain firmware; what was booted is proven
 * by the vTPM.
 */
async function planUefi({ imageFolder, vcpus }: PlannedGuest) {
  const fileOf = (name: string) => path.join(imageFolder, name);
  const boot = {
    kind: 'uefi' as const,
    firmware: fileOf('ovmf-code.fd'),
    variables: fileOf('ovmf-vars.fd'),
    kernel: fileOf('eos.efi'),
  };
  const uki = await readImage(boot.kernel);
  await readImage(boot.variables);
  const section = (name: string): Uint8Array => peSection(uki, name) ?? new Uint8Array();
  const { state } = firmwareState(await readImage(boot.firmware), attestationCrypto);
  const launchLog: VmLaunchLog = {
    kind: 'vm',
    firmware: { name: path.basename(boot.firmware), digest: state },
    kernel: sha256Hex(uki),
    initrd: sha256Hex(section('.initrd')),
    commandLine: Buffer.from(section('.cmdline')).toString('utf8'),
    vcpus,
    vcpuType: VCPU_TYPE,
    guestFeatures: GUEST_FEATURES,
  };
  return {
    image: imageFiles(imageFolder, boot),
    launchLog,
    measurement: measureLaunch(launchLog, attestationCrypto),
  };
}
