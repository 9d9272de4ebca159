import { base64OfLength, type LaunchArguments, TEE_MACHINE } from '../launch-arguments.ts';

export interface SevSnpProtection {
  readonly kind: 'sev-snp';
  /** 32 bytes for the HOST_DATA of the report, or none. */
  readonly hostData?: Uint8Array;
  /** Guest policy of the launch (SNP ABI, table 9). */
  readonly policy: number;
  readonly cbitPosition: number;
  readonly reducedPhysBits: number;
}

/** @throws CocosError CONFIG_INVALID when HOST_DATA does not have 32 bytes */
export function sevSnpArguments(protection: SevSnpProtection): LaunchArguments {
  const { cbitPosition, reducedPhysBits, policy, hostData } = protection;
  const options = [
    'sev-snp-guest,id=tee',
    `cbitpos=${cbitPosition},reduced-phys-bits=${reducedPhysBits}`,
    // Puts digests of kernel, initrd and command line into the launch measurement.
    `kernel-hashes=on,policy=0x${policy.toString(16)}`,
    ...(hostData === undefined ? [] : [`host-data=${base64OfLength(hostData, 32)}`]),
  ];
  return { machine: TEE_MACHINE, objects: [options.join(',')], needsKvm: true };
}
