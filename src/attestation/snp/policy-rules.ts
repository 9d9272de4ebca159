import { z } from 'zod';
import { hexListOf, hexOf, Sha256Text } from '../encoding/byte-schemas.ts';
import { SHIPPED_MINIMUM } from './minimum-tcb.ts';
import { PLATFORM_INFO_BITS } from './platform-info.ts';

/** Policy rules for SNP reports, from hardware or emulated. */

const Spl = z.int().min(0).max(255);

/** Minimum security patch levels; absent components are not compared. */
const MinimumTcb = z.strictObject({
  fmc: Spl.optional(),
  bootloader: Spl.optional(),
  tee: Spl.optional(),
  snp: Spl.optional(),
  microcode: Spl.optional(),
});

/** For each product line. */
const MinimumTcbs = z
  .strictObject({
    milan: MinimumTcb.optional(),
    genoa: MinimumTcb.optional(),
    turin: MinimumTcb.optional(),
    emulated: MinimumTcb.optional(),
  })
  .default({});
export type MinimumTcbs = z.infer<typeof MinimumTcbs>;

/** For each product line, the shipped minimum by default. */
const ReportedMinimumTcbs = z
  .strictObject({
    milan: MinimumTcb.default({ ...SHIPPED_MINIMUM.milan.levels }),
    genoa: MinimumTcb.default({ ...SHIPPED_MINIMUM.genoa.levels }),
    turin: MinimumTcb.default({ ...SHIPPED_MINIMUM.turin.levels }),
    emulated: MinimumTcb.optional(),
  })
  .prefault({});

/** 64 bits as hex, the most significant digit first. */
const MitigationVector = z.string().regex(/^0x[0-9a-f]{1,16}$/, 'must be 1 to 16 hex digits after 0x');

const PlatformInfoName = z.enum(Object.keys(PLATFORM_INFO_BITS) as [keyof typeof PLATFORM_INFO_BITS]);

export const SnpPolicy = z.strictObject({
  endorsementKeys: z
    .array(z.enum(['vcek', 'vlek']))
    .min(1)
    .default(['vcek'])
    .describe('Keys that may sign a report: chip keys (VCEK) or cloud provider keys (VLEK).'),
  providers: z
    .array(z.string().min(1).max(256))
    .min(1)
    .max(64)
    .optional()
    .describe('Accepted providers (cspID of a VLEK); all if absent.'),
  trustedRoots: z
    .array(z.strictObject({ product: z.enum(['milan', 'genoa', 'turin']), sha256: Sha256Text }))
    .max(16)
    .default([])
    .describe(
      "Additional roots besides AMD's own, by the digest of their DER, for test or private hierarchies.",
    ),
  requireRevocationList: z
    .boolean()
    .default(true)
    .describe(
      'Refuse evidence of hardware if no current revocation list of the root is available. With `false`, the verdict says that the policy waives it.',
    ),
  allowProvisionalFirmware: z
    .boolean()
    .default(true)
    .describe(
      'Accept platform firmware that is newer than the committed one and can be rolled back to it. The key that signs belongs to the reported TCB, which is never above the committed one, so minimum levels hold either way.',
    ),
  allowSmt: z
    .boolean()
    .default(true)
    .describe('Accept a guest that can run on a machine with simultaneous multithreading.'),
  requireSingleSocket: z.boolean().default(false).describe('Refuse a guest that can span several sockets.'),
  requireAliasCheck: z
    .boolean()
    .default(false)
    .describe('Refuse machines that did not check their memory for aliases since the last reset.'),
  allowMaskedChipId: z
    .boolean()
    .default(false)
    .describe(
      'Accept a report whose chip id the host has masked with zeros. The chip is then not known from the report.',
    ),
  requiredMitigations: z
    .strictObject({ launch: MitigationVector.optional(), current: MitigationVector.optional() })
    .prefault({})
    .describe(
      'Bits that must be set in LAUNCH_MIT_VECTOR and CURRENT_MIT_VECTOR (AMD-SB-3020 and later). Reports before version 5 have none and are refused.',
    ),
  platformInfo: z
    .strictObject({
      required: z.array(PlatformInfoName).max(16).default([]),
      forbidden: z.array(PlatformInfoName).max(16).default([]),
    })
    .prefault({})
    .describe('Properties of the platform (PLATFORM_INFO) that must be enabled or disabled.'),
  vmpl: z
    .int()
    .min(0)
    .max(3)
    .default(0)
    .describe('Privilege level at which the report must have been requested.'),
  minimumAbi: z
    .strictObject({ major: Spl, minor: Spl })
    .optional()
    .describe('Minimum version of the firmware interface that the guest policy requires.'),
  minimumFirmware: z
    .strictObject({ major: Spl, minor: Spl, build: Spl.default(0) })
    .optional()
    .describe('Minimum version of the committed platform firmware.'),
  minimumTcb: ReportedMinimumTcbs.describe(
    'Minimum reported TCB, for which the signing key was issued, per product line. A product line that the policy names has the levels of the policy alone; `{}` waives the minimum, and the verdict says so.',
  ),
  minimumCommittedTcb: MinimumTcbs.describe(
    'Minimum committed TCB, below which the platform cannot be rolled back.',
  ),
  minimumLaunchTcb: MinimumTcbs.describe('Minimum TCB at the launch of the guest.'),
  minimumCurrentTcb: MinimumTcbs.describe('Minimum TCB that is currently running.'),
  minimumGuestSvn: z
    .int()
    .min(0)
    .max(0xffff_ffff)
    .default(0)
    .describe('Minimum security version in the ID block of the guest.'),
  measurements: hexListOf(48).optional().describe('Accepted launch measurements; all if absent.'),
  hostData: hexOf(32).optional().describe('HOST_DATA, 32 bytes; all if absent.'),
  reportData: hexOf(64).optional().describe('REPORT_DATA, 64 bytes, of a report that is appraised alone.'),
  familyIds: hexListOf(16).optional().describe('FAMILY_ID of the ID block; all if absent.'),
  imageIds: hexListOf(16).optional().describe('IMAGE_ID of the ID block; all if absent.'),
  idKeyDigests: hexListOf(48)
    .optional()
    .describe('SHA-384 of ID keys, hex. If present, the launch must have an ID block signed by one of them.'),
  authorKeyDigests: hexListOf(48)
    .optional()
    .describe('SHA-384 of author keys, hex. If present, one of them must have signed the ID key.'),
  chipIds: hexListOf(64).optional().describe("CHIP_ID, 64 bytes; Turin's 8 bytes are followed by zeros."),
});
export type SnpPolicy = z.infer<typeof SnpPolicy>;
