import { z } from 'zod';
import { hexListOf, hexOf, Sha256Text } from '../byte-schemas.ts';
import { PLATFORM_INFO_BITS } from './platform-info.ts';

/** The part of a policy that speaks of SNP reports, of hardware or emulated. */

const Spl = z.int().min(0).max(255);

/** Least security patch levels; a part that is left out is not compared. */
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

const PlatformInfoName = z.enum(Object.keys(PLATFORM_INFO_BITS) as [keyof typeof PLATFORM_INFO_BITS]);

export const SnpPolicy = z.strictObject({
  /** Keys that may sign a report: of the chip (VCEK) or of the cloud provider (VLEK). */
  endorsementKeys: z
    .array(z.enum(['vcek', 'vlek']))
    .min(1)
    .default(['vcek']),
  /** Providers (cspID of a VLEK) that may; any when left out. */
  providers: z.array(z.string().min(1).max(256)).min(1).max(64).optional(),
  /** Roots beside AMD's own whose reports are accepted, by digest of their DER, for test or private hierarchies. */
  trustedRoots: z
    .array(z.strictObject({ product: z.enum(['milan', 'genoa', 'turin']), sha256: Sha256Text }))
    .max(16)
    .default([]),
  /** Refuse evidence for which no current revocation list of the root is at hand. */
  requireRevocationList: z.boolean().default(false),
  /**
   * Accept platform firmware that is newer than the committed one and can be rolled back to it. The key that signs
   * belongs to the reported TCB, which is never above the committed one, so minimum levels hold either way.
   */
  allowProvisionalFirmware: z.boolean().default(true),
  /** Accept a guest that may run on a machine with simultaneous multithreading. */
  allowSmt: z.boolean().default(true),
  /** Refuse a guest that may span several sockets. */
  requireSingleSocket: z.boolean().default(false),
  /** Refuse machines that did not check their memory for aliases since the last reset. */
  requireAliasCheck: z.boolean().default(false),
  /** Properties of the platform that must be on, or off. */
  platformInfo: z
    .strictObject({
      required: z.array(PlatformInfoName).max(16).default([]),
      forbidden: z.array(PlatformInfoName).max(16).default([]),
    })
    .prefault({}),
  /** Privilege level at which the report must have been asked for. */
  vmpl: z.int().min(0).max(3).default(0),
  /** Least version of the firmware interface that the guest policy asks for. */
  minimumAbi: z.strictObject({ major: Spl, minor: Spl }).optional(),
  /** Least version of the committed platform firmware. */
  minimumFirmware: z.strictObject({ major: Spl, minor: Spl, build: Spl.default(0) }).optional(),
  minimumTcb: MinimumTcbs,
  minimumCommittedTcb: MinimumTcbs,
  minimumLaunchTcb: MinimumTcbs,
  minimumCurrentTcb: MinimumTcbs,
  minimumGuestSvn: z.int().min(0).max(0xffff_ffff).default(0),
  measurements: hexListOf(48).optional(),
  hostData: hexOf(32).optional(),
  reportData: hexOf(64).optional(),
  familyIds: hexListOf(16).optional(),
  imageIds: hexListOf(16).optional(),
  /** SHA-384 of ID keys, hex; when given, the launch must carry an ID block signed by one of them. */
  idKeyDigests: hexListOf(48).optional(),
  /** SHA-384 of author keys, hex; when given, one of them must have signed the ID key. */
  authorKeyDigests: hexListOf(48).optional(),
  /** CHIP_ID, 64 bytes; Turin's 8 bytes are followed by zeros. */
  chipIds: hexListOf(64).optional(),
});
export type SnpPolicy = z.infer<typeof SnpPolicy>;
