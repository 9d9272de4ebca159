import { z } from 'zod';
import { hexListOf, hexOf, InstantText, Sha256Text } from '../encoding/byte-schemas.ts';
import { EventQuirks } from '../eventlog/policy-rules.ts';
import { TCB_STATUSES } from './tcb-status.ts';

/** Policy rules for TDX quotes. Registers without a value are not compared. */

/** Bits of TDATTRIBUTES or XFAM, 8 bytes in the order of the quote. */
const Bits = hexOf(8);

const REGISTERS = ['mrtd', 'rtmr0', 'rtmr1', 'rtmr2', 'rtmr3'] as const;

const TdxMembers = z.strictObject({
  trustedRoots: z
    .array(Sha256Text)
    .max(16)
    .default([])
    .describe("Additional roots besides Intel's own, by the digest of their DER."),
  requireRevocationLists: z
    .boolean()
    .default(true)
    .describe(
      'Refuse a quote if no current revocation lists of the PCK authority and of the root are available. With `false`, the verdict says that the policy waives it.',
    ),
  acceptedStatuses: z
    .array(z.enum(TCB_STATUSES).exclude(['Revoked']))
    .min(1)
    .default(['UpToDate'])
    .describe('Accepted statuses of the TCB.'),
  minimumTcbDate: InstantText.optional().describe('Earliest date of the matching TCB level.'),
  minimumEvaluationNumber: z
    .int()
    .min(0)
    .max(0xffff_ffff)
    .optional()
    .describe('Minimum tcbEvaluationDataNumber of the collateral.'),
  requireSameEvaluation: z
    .boolean()
    .default(false)
    .describe(
      'Refuse TCB information and a QE identity of different evaluations. The verdict names them in any case.',
    ),
  refusedAdvisories: z
    .array(z.string().min(1).max(64))
    .max(1024)
    .default([])
    .describe('Advisories that make a level unacceptable, whatever its status.'),
  maximumCollateralAgeSeconds: z.int().min(1).optional().describe('Maximum age of the collateral.'),
  requireSeptVeDisable: z
    .boolean()
    .default(true)
    .describe('Refuse a TD that can receive #VE on its private pages (SEPT_VE_DISABLE clear).'),
  requiredAttributes: Bits.optional().describe('Bits of TDATTRIBUTES that must be set.'),
  requiredXfam: Bits.optional().describe('Bits of XFAM that must be set.'),
  allowedXfam: Bits.optional().describe('Bits of XFAM that may be set.'),
  minimumTeeTcbSvn: hexOf(16).optional().describe('Minimum TEE_TCB_SVN, byte by byte.'),
  minimumQeSvn: z.int().min(0).max(0xffff).optional().describe('Minimum ISVSVN of the quoting enclave.'),
  minimumPceSvn: z.int().min(0).max(0xffff).optional().describe('Minimum PCESVN of the PCK certificate.'),
  mrSeam: hexListOf(48).optional().describe('MRSEAM, the measurement of the TDX module.'),
  mrtd: hexListOf(48).optional().describe('MRTD, the measurement of the trust domain at launch.'),
  rtmr0: hexListOf(48).optional().describe('RTMR0.'),
  rtmr1: hexListOf(48).optional().describe('RTMR1.'),
  rtmr2: hexListOf(48).optional().describe('RTMR2.'),
  rtmr3: hexListOf(48).optional().describe('RTMR3.'),
  mrConfigId: hexListOf(48).optional().describe('MRCONFIGID.'),
  mrOwner: hexListOf(48).optional().describe('MROWNER.'),
  mrOwnerConfig: hexListOf(48).optional().describe('MROWNERCONFIG.'),
  acceptedEventQuirks: EventQuirks.describe(
    'Known deviations of firmware in the data of its events that are accepted; see the documentation of event logs.',
  ),
  mrServiceTd: hexListOf(48).optional().describe('Service TDs that may be bound; none if absent.'),
  reportData: hexOf(64).optional().describe('REPORTDATA, 64 bytes, of a quote that is appraised alone.'),
});
/** Two lists of several values would accept the firmware of one build with the kernel of another. */
export const TdxPolicy = TdxMembers.refine(
  (policy) => REGISTERS.filter((name) => (policy[name]?.length ?? 0) > 1).length <= 1,
  'lists several values of more than one of mrtd and rtmr0 to rtmr3, which would accept mixtures of builds; list each build in the reference values instead',
);
export type TdxPolicy = z.infer<typeof TdxPolicy>;
