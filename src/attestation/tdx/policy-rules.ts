import { z } from 'zod';
import { hexListOf, hexOf, InstantText, Sha256Text } from '../byte-schemas.ts';
import { TCB_STATUSES } from './tcb-status.ts';

/** The part of a policy that speaks of TDX quotes. Registers that are left out are not compared. */

/** Bits of TDATTRIBUTES or XFAM, 8 bytes as they stand in the quote. */
const Bits = hexOf(8);

export const TdxPolicy = z.strictObject({
  /** Roots beside Intel's own, by digest of their DER. */
  trustedRoots: z.array(Sha256Text).max(16).default([]),
  /** Refuse a quote for which no current revocation lists are at hand. */
  requireRevocationLists: z.boolean().default(true),
  /** Statuses of the TCB that are accepted. */
  acceptedStatuses: z
    .array(z.enum(TCB_STATUSES).exclude(['Revoked']))
    .min(1)
    .default(['UpToDate']),
  /** The level that matches must be from this date or later. */
  minimumTcbDate: InstantText.optional(),
  minimumEvaluationNumber: z.int().min(0).max(0xffff_ffff).optional(),
  /** Advisories with which no level is accepted, whatever its status. */
  refusedAdvisories: z.array(z.string().min(1).max(64)).max(1024).default([]),
  /** Longest time since the collateral was issued. */
  maximumCollateralAgeSeconds: z.int().min(1).optional(),
  /** Refuse a TD that takes #VE on its private pages (SEPT_VE_DISABLE clear). */
  requireSeptVeDisable: z.boolean().default(true),
  /** Bits of TDATTRIBUTES that must be set. */
  requiredAttributes: Bits.optional(),
  /** Bits of XFAM that must be set, and those that may be. */
  requiredXfam: Bits.optional(),
  allowedXfam: Bits.optional(),
  /** Least TEE_TCB_SVN, byte by byte. */
  minimumTeeTcbSvn: hexOf(16).optional(),
  minimumQeSvn: z.int().min(0).max(0xffff).optional(),
  minimumPceSvn: z.int().min(0).max(0xffff).optional(),
  mrSeam: hexListOf(48).optional(),
  mrtd: hexListOf(48).optional(),
  rtmr0: hexListOf(48).optional(),
  rtmr1: hexListOf(48).optional(),
  rtmr2: hexListOf(48).optional(),
  rtmr3: hexListOf(48).optional(),
  mrConfigId: hexListOf(48).optional(),
  mrOwner: hexListOf(48).optional(),
  mrOwnerConfig: hexListOf(48).optional(),
  /** Service TDs that may be bound; none when left out. */
  mrServiceTd: hexListOf(48).optional(),
  reportData: hexOf(64).optional(),
});
export type TdxPolicy = z.infer<typeof TdxPolicy>;
