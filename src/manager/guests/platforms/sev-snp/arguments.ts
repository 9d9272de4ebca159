import { z } from 'zod';
import { base64OfLength, type LaunchArguments, TEE_MACHINE } from '../launch-arguments.ts';

/** Lengths of the launch's data (SEV-SNP firmware ABI, SNP_LAUNCH_FINISH). */
const HOST_DATA_BYTES = 32;
const ID_BLOCK_BYTES = 96;
const ID_AUTH_BYTES = 4096;

/** QEMU's object `sev-snp-guest`; bytes are base64. */
export const SevSnpProtection = z.strictObject({
  kind: z.literal('sev-snp'),
  /** HOST_DATA of the report; left out for zeros. */
  hostData: z.string().optional(),
  /** Guest policy of the launch (SEV-SNP firmware ABI, table 9). */
  policy: z.int().min(0),
  cbitPosition: z.int().min(0).max(63),
  reducedPhysBits: z.int().min(0).max(63),
  /** The operator's signature over the launch digest. */
  identity: z.strictObject({ block: z.string(), authentication: z.string() }).optional(),
});
export type SevSnpProtection = z.infer<typeof SevSnpProtection>;

/** @throws CocosError CONFIG_INVALID when launch data has another length */
export function sevSnpArguments(protection: SevSnpProtection): LaunchArguments {
  const { cbitPosition, reducedPhysBits, policy, hostData, identity } = protection;
  const options = [
    'sev-snp-guest,id=tee',
    `cbitpos=${cbitPosition},reduced-phys-bits=${reducedPhysBits}`,
    // Puts digests of kernel, initrd and command line into the launch measurement.
    `kernel-hashes=on,policy=0x${policy.toString(16)}`,
    ...(hostData === undefined ? [] : [`host-data=${base64OfLength(hostData, HOST_DATA_BYTES)}`]),
    ...(identity === undefined
      ? []
      : [
          `id-block=${base64OfLength(identity.block, ID_BLOCK_BYTES)}`,
          `id-auth=${base64OfLength(identity.authentication, ID_AUTH_BYTES)}`,
          'author-key-enabled=on',
        ]),
  ];
  return { machine: TEE_MACHINE, objects: [options.join(',')], needsKvm: true };
}
