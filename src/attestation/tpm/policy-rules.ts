import { z } from 'zod';
import { hexOf, Sha256Text } from '../byte-schemas.ts';

/** The part of a policy that speaks of TPM quotes. */

const PcrIndex = z.string().regex(/^(?:\d|1\d|2[0-3])$/, 'must be a PCR index, 0 to 23');

export const VtpmPolicy = z.strictObject({
  /** Refuse evidence without a quote. */
  required: z.boolean().default(false),
  /** Banks that count. SHA-1 never does. */
  banks: z
    .array(z.enum(['sha256', 'sha384', 'sha512']))
    .min(1)
    .default(['sha256', 'sha384', 'sha512']),
  /** PCRs that must be quoted; those with a value below are needed as well. */
  requiredPcrs: z.array(z.int().min(0).max(23)).max(24).default([]),
  /** Values of PCRs, for each bank. */
  pcrs: z
    .strictObject({
      sha256: z.partialRecord(PcrIndex, hexOf(32)).optional(),
      sha384: z.partialRecord(PcrIndex, hexOf(48)).optional(),
      sha512: z.partialRecord(PcrIndex, hexOf(64)).optional(),
    })
    .default({}),
  /** Refuse a quote without an event log. */
  requireEventLog: z.boolean().default(false),
  /** Refuse a TPM whose clock may have gone back. */
  requireSafeClock: z.boolean().default(false),
  /** PCRs that something extends without an entry in the log, as the kernel's integrity subsystem does with PCR 10. */
  unloggedPcrs: z.array(z.int().min(0).max(23)).max(24).default([]),
  /** Roots of AK certificates that endorse a key which the claims do not name. */
  trustedRoots: z.array(Sha256Text).max(16).default([]),
});
export type VtpmPolicy = z.infer<typeof VtpmPolicy>;
