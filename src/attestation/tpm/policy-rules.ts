import { z } from 'zod';
import { hexOf, Sha256Text } from '../encoding/byte-schemas.ts';
import { EventQuirks } from '../eventlog/policy-rules.ts';

/** Policy rules for TPM quotes. */

const PcrIndex = z.string().regex(/^(?:\d|1\d|2[0-3])$/, 'must be a PCR index, 0 to 23');

export const VtpmPolicy = z.strictObject({
  required: z.boolean().default(false).describe('Refuse evidence without a quote.'),
  banks: z
    .array(z.enum(['sha256', 'sha384', 'sha512']))
    .min(1)
    .default(['sha256', 'sha384', 'sha512'])
    .describe('Accepted banks. SHA-1 is never accepted.'),
  requiredPcrs: z
    .array(z.int().min(0).max(23))
    .max(24)
    .default([])
    .describe('PCRs that must be quoted, in addition to those with a value below.'),
  pcrs: z
    .strictObject({
      sha256: z.partialRecord(PcrIndex, hexOf(32)).optional(),
      sha384: z.partialRecord(PcrIndex, hexOf(48)).optional(),
      sha512: z.partialRecord(PcrIndex, hexOf(64)).optional(),
    })
    .default({})
    .describe('Accepted PCR values, per bank.'),
  requireEventLog: z.boolean().default(false).describe('Refuse a quote without an event log.'),
  acceptedEventQuirks: EventQuirks.describe(
    'Known deviations of firmware in the data of its events that are accepted; see the documentation of event logs.',
  ),
  requireSafeClock: z.boolean().default(false).describe('Refuse a TPM whose clock may have been set back.'),
  unloggedPcrs: z
    .array(z.int().min(0).max(23))
    .max(24)
    .default([])
    .describe(
      "PCRs that are extended without log entries, as PCR 10 is by the kernel's integrity subsystem.",
    ),
  trustedRoots: z
    .array(Sha256Text)
    .max(16)
    .default([])
    .describe(
      'Roots of the AK certificates that must endorse the key of a quote. If present, a quote without such a certificate is refused.',
    ),
});
export type VtpmPolicy = z.infer<typeof VtpmPolicy>;
