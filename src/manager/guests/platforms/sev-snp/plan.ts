import { measureLaunch } from '../../../../attestation/measure/launch.ts';
import { attestationCrypto } from '../../../../crypto/attestation-crypto.ts';
import { CocosError } from '../../../../errors.ts';
import { directBoot, directLog, type GuestPlan, type PlannedGuest, paddedDigest } from '../guest-plan.ts';
import { SEV_SNP_FIRMWARE } from './detect.ts';

/** The first model whose features SEV-SNP firmware accepts on every generation. */
const VCPU_TYPE = 'EPYC-v4';
/** Bit 17 is always set; bit 16 permits SMT. No debugging, no migration (SEV-SNP firmware ABI, table 9). */
const POLICY = 0x3_0000;
const HOST_DATA_BYTES = 32;

/** A direct boot whose firmware measures kernel, initrd and command line into the launch digest. */
export async function planSevSnp({
  imageFolder,
  vcpus,
  manifestDigest,
  facts,
}: PlannedGuest): Promise<GuestPlan> {
  const { sev } = facts.qemu;
  if (sev === null)
    throw new CocosError('HOST_TEE_UNAVAILABLE', `QEMU says of SEV-SNP: ${facts.qemu.sevProblem}`);
  const { boot, image } = await directBoot(imageFolder, SEV_SNP_FIRMWARE);
  const launchLog = await directLog(boot, { vcpus, vcpuType: VCPU_TYPE });
  return {
    image,
    launchLog,
    measurement: measureLaunch(launchLog, attestationCrypto),
    vcpuType: VCPU_TYPE,
    protection: {
      kind: 'sev-snp',
      policy: POLICY,
      cbitPosition: sev.cbitpos,
      reducedPhysBits: sev['reduced-phys-bits'],
      ...(manifestDigest === null ? {} : { hostData: paddedDigest(manifestDigest, HOST_DATA_BYTES) }),
    },
  };
}
