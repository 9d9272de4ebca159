import { z } from 'zod';
import { hexOf, Sha256Text } from '../encoding/byte-schemas.ts';

/** The part of a policy that speaks of TPM quotes. */

const PcrIndex = z.string().regex(/^(?:\d|1\d|2[0-3])$/, 'must be a PCR index, 0 to 23');

export const VtpmPolicy = z.strictObject({
  required: z.boolean().default(false).describe('Refuse evidence without a quote.'),
  banks: z
    .array(z.enum(['sha256', 'sha384', 'sha512']))
    .min(1)
    .default(['sha256', 'sha384', 'sha512'])
    .describe('Banks that count. SHA-1 never does.'),
  requiredPcrs: z
    .array(z.int().min(0).max(23))
    .max(24)
    .default([])
    .describe('PCRs that must be quoted; those with a value below are needed as well.'),
  pcrs: z
    .strictObject({
      sha256: z.partialRecord(PcrIndex, hexOf(32)).optional(),
      sha384: z.partialRecord(PcrIndex, hexOf(48)).optional(),
      sha512: z.partialRecord(PcrIndex, hexOf(64)).optional(),
    })
    .default({})
    .describe('Values of PCRs, for each bank.'),
  requireEventLog: z.boolean().default(false).describe('Refuse a quote without an event log.'),
  requireSafeClock: z.boolean().default(false).describe('Refuse a TPM whose clock may have gone back.'),
  unloggedPcrs: z
    .array(z.int().min(0).max(23))
    .max(24)
    .default([])
    .describe(
      "PCRs that something extends without an entry in the log, as the kernel's integrity subsystem does with PCR 10.",
    ),
  trustedRoots: z
    .array(Sha256Text)
    .max(16)
    .default([])
    .describe('Roots of AK certificates that endorse a key which the claims do not name.'),
});
export type VtpmPolicy = z.infer<typeof VtpmPolicy>;
