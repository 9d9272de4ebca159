import { z } from 'zod';
import { CocosError } from '../errors.ts';
import { hexOf } from './byte-schemas.ts';
import { PlatformName } from './claims.ts';

/**
 * The appraisal policy: what a relying party accepts. Every default is the strict one; a policy that names nothing
 * but platforms accepts only a production guest at VMPL 0 on committed firmware.
 */

const Spl = z.int().min(0).max(255);

/** Least security patch levels; a part that is left out is not compared. */
const MinimumTcb = z.strictObject({
  fmc: Spl.optional(),
  bootloader: Spl.optional(),
  tee: Spl.optional(),
  snp: Spl.optional(),
  microcode: Spl.optional(),
});

export const AppraisalPolicy = z
  .strictObject({
    version: z.literal(1),
    platforms: z
      .array(PlatformName)
      .min(1)
      .max(3)
      .refine((list) => new Set(list).size === list.length, 'platforms must differ'),
    /** Digest of the DER of the development root (ARK) that signs emulated reports. */
    emulatedRoot: z
      .string()
      .regex(/^sha256:[0-9a-f]{64}$/)
      .optional(),
    /** Keys that may sign a report: of the chip (VCEK) or of the cloud provider (VLEK). */
    endorsementKeys: z
      .array(z.enum(['vcek', 'vlek']))
      .min(1)
      .default(['vcek']),
    /** Accept a guest whose memory the host may read through the debug interface. */
    allowDebug: z.boolean().default(false),
    /** Accept a guest that a migration agent may move. */
    allowMigration: z.boolean().default(false),
    /** Accept platform firmware that is newer than the committed one and can still be rolled back. */
    allowProvisionalFirmware: z.boolean().default(false),
    /** Accept a guest that may run on a machine with simultaneous multithreading. */
    allowSmt: z.boolean().default(true),
    /** Refuse machines that did not check their memory for aliases since the last reset. */
    requireAliasCheck: z.boolean().default(false),
    /** Privilege level at which the report must have been asked for. */
    vmpl: z.int().min(0).max(3).default(0),
    /** Least reported TCB, for each product line. */
    minimumTcb: z
      .strictObject({
        milan: MinimumTcb.optional(),
        genoa: MinimumTcb.optional(),
        turin: MinimumTcb.optional(),
        emulated: MinimumTcb.optional(),
      })
      .default({}),
    minimumGuestSvn: z.int().min(0).max(0xffff_ffff).default(0),
    /** SHA-384 of ID keys, hex; when given, the launch must carry an ID block signed by one of them. */
    idKeyDigests: z.array(hexOf(48)).min(1).max(64).optional(),
    /** Longest time between the verifier's nonce and the appraisal. */
    maxAgeSeconds: z.int().min(1).max(86_400).optional(),
  })
  .refine((policy) => !policy.platforms.includes('emulated') || policy.emulatedRoot !== undefined, {
    message: 'a policy that accepts the emulated platform must name its root',
    path: ['emulatedRoot'],
  });
export type AppraisalPolicy = z.infer<typeof AppraisalPolicy>;

/**
 * A policy from parsed JSON, with its defaults filled in. Unknown members are refused: a misspelt rule must not be
 * a rule that does not hold.
 *
 * @throws CocosError POLICY_INVALID with `details.problems`
 */
export function parsePolicy(json: unknown): AppraisalPolicy {
  const result = AppraisalPolicy.safeParse(json);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => `${issue.path.join('.') || '(top)'}: ${issue.message}`);
  throw new CocosError('POLICY_INVALID', `the policy is not valid: ${problems.join('; ')}`, {
    cause: result.error,
    details: { problems },
  });
}
