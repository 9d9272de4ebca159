import { z } from 'zod';
import { CocosError } from '../../errors.ts';
import { schemaProblems } from '../../schema-problems.ts';
import { DicePolicy } from '../dice/policy-rules.ts';
import { Sha256Text } from '../encoding/byte-schemas.ts';
import { PlatformName } from '../evidence/claims.ts';
import { SnpPolicy } from '../snp/policy-rules.ts';
import { TdxPolicy } from '../tdx/policy-rules.ts';
import { VtpmPolicy } from '../tpm/policy-rules.ts';

/**
 * The appraisal policy: what a relying party accepts. A policy that only lists platforms accepts only a production guest with
 * a report requested at VMPL 0, on a platform whose TCB reaches Intel's current level or the shipped minimum of AMD's, with
 * current revocation lists.
 */

/** Size limit of a policy file. */
export const MAX_POLICY_BYTES = 1024 * 1024;

/** The members of a policy; the published JSON Schema is generated from this. */
export const PolicyMembers = z.strictObject({
  version: z.literal(1).describe('Version of the format.'),
  platforms: z
    .array(PlatformName)
    .min(1)
    .max(3)
    .refine((list) => new Set(list).size === list.length, 'platforms must differ')
    .meta({ uniqueItems: true })
    .describe(
      'Accepted platforms. `emulated` is for machines without TEE hardware and requires `emulatedRoot`.',
    ),
  emulatedRoot: Sha256Text.optional().describe(
    'Digest of the DER of the development root (ARK) that signs emulated reports.',
  ),
  allowDebug: z
    .boolean()
    .default(false)
    .describe('Accept a guest whose memory the host can read through the debug interface.'),
  allowMigration: z
    .boolean()
    .default(false)
    .describe('Accept a guest that a migration agent or migration TD can move.'),
  maxAgeSeconds: z
    .int()
    .min(1)
    .max(86_400)
    .optional()
    .describe('Maximum time between the creation of the nonce and the appraisal.'),
  snp: SnpPolicy.prefault({}).describe('Rules for SNP reports, from hardware or emulated.'),
  tdx: TdxPolicy.prefault({}).describe('Rules for TDX quotes. Registers without a value are not compared.'),
  vtpm: VtpmPolicy.prefault({}).describe('Rules for vTPM quotes and their event logs.'),
  dice: DicePolicy.prefault({}).describe('Of DICE chains.'),
});

export const AppraisalPolicy = PolicyMembers.refine(
  (policy) => !policy.platforms.includes('emulated') || policy.emulatedRoot !== undefined,
  { message: 'a policy that accepts the emulated platform must name its root', path: ['emulatedRoot'] },
);
export type AppraisalPolicy = z.infer<typeof AppraisalPolicy>;

/**
 * A policy from parsed JSON, with its defaults filled in. Unknown members are refused, so that a misspelt rule is not
 * ignored.
 *
 * @throws CocosError POLICY_INVALID naming each place
 */
export function parsePolicy(json: unknown): AppraisalPolicy {
  const result = AppraisalPolicy.safeParse(json);
  if (result.success) return result.data;
  const problems = schemaProblems(result.error, json).join('; ');
  throw new CocosError('POLICY_INVALID', `The policy is invalid at ${problems}.`, { cause: result.error });
}
