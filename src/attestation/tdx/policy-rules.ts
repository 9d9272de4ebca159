import { z } from 'zod';
import { hexListOf, hexOf, InstantText, Sha256Text } from '../encoding/byte-schemas.ts';
import { TCB_STATUSES } from './tcb-status.ts';

/** The part of a policy that speaks of TDX quotes. Registers that are left out are not compared. */

/** Bits of TDATTRIBUTES or XFAM, 8 bytes as they stand in the quote. */
const Bits = hexOf(8);

export const TdxPolicy = z.strictObject({
  trustedRoots: z
    .array(Sha256Text)
    .max(16)
    .default([])
    .describe("Roots beside Intel's own, by digest of their DER."),
  requireRevocationLists: z
    .boolean()
    .default(true)
    .describe('Refuse a quote for which no current revocation lists are at hand.'),
  acceptedStatuses: z
    .array(z.enum(TCB_STATUSES).exclude(['Revoked']))
    .min(1)
    .default(['UpToDate'])
    .describe('Statuses of the TCB that are accepted.'),
  minimumTcbDate: InstantText.optional().describe('The level that matches must be from this date or later.'),
  minimumEvaluationNumber: z
    .int()
    .min(0)
    .max(0xffff_ffff)
    .optional()
    .describe('Least tcbEvaluationDataNumber of the collateral.'),
  refusedAdvisories: z
    .array(z.string().min(1).max(64))
    .max(1024)
    .default([])
    .describe('Advisories with which no level is accepted, whatever its status.'),
  maximumCollateralAgeSeconds: z
    .int()
    .min(1)
    .optional()
    .describe('Longest time since the collateral was issued.'),
  requireSeptVeDisable: z
    .boolean()
    .default(true)
    .describe('Refuse a TD that takes #VE on its private pages (SEPT_VE_DISABLE clear).'),
  requiredAttributes: Bits.optional().describe('Bits of TDATTRIBUTES that must be set.'),
  requiredXfam: Bits.optional().describe('Bits of XFAM that must be set.'),
  allowedXfam: Bits.optional().describe('Bits of XFAM that may be set.'),
  minimumTeeTcbSvn: hexOf(16).optional().describe('Least TEE_TCB_SVN, byte by byte.'),
  minimumQeSvn: z.int().min(0).max(0xffff).optional().describe('Least ISVSVN of the quoting enclave.'),
  minimumPceSvn: z.int().min(0).max(0xffff).optional().describe('Least PCESVN of the PCK certificate.'),
  mrSeam: hexListOf(48).optional().describe('MRSEAM, the measurement of the TDX module.'),
  mrtd: hexListOf(48).optional().describe('MRTD, the measurement of the trust domain at launch.'),
  rtmr0: hexListOf(48).optional().describe('RTMR0.'),
  rtmr1: hexListOf(48).optional().describe('RTMR1.'),
  rtmr2: hexListOf(48).optional().describe('RTMR2.'),
  rtmr3: hexListOf(48).optional().describe('RTMR3.'),
  mrConfigId: hexListOf(48).optional().describe('MRCONFIGID.'),
  mrOwner: hexListOf(48).optional().describe('MROWNER.'),
  mrOwnerConfig: hexListOf(48).optional().describe('MROWNERCONFIG.'),
  mrServiceTd: hexListOf(48).optional().describe('Service TDs that may be bound; none when left out.'),
  reportData: hexOf(64).optional().describe('REPORTDATA, 64 bytes, of a quote that is judged alone.'),
});
export type TdxPolicy = z.infer<typeof TdxPolicy>;
