/** Numbers of the TPM 2.0 Library specification, part 2 (structures), as far as the agent uses them. */

/** Command codes (TPM_CC, table 12). */
export const COMMAND = {
  createPrimary: 0x131,
  nvRead: 0x14e,
  quote: 0x158,
  flushContext: 0x165,
  nvReadPublic: 0x169,
  readPublic: 0x173,
  getRandom: 0x17b,
  pcrRead: 0x17e,
  pcrExtend: 0x182,
} as const;

/** Structure tags (TPM_ST, table 19). */
export const TAG = { noSessions: 0x8001, sessions: 0x8002 } as const;

/** Permanent handles (TPM_RH, table 28). */
export const HANDLE = { password: 0x4000_0009, endorsement: 0x4000_000b } as const;

/** Algorithms (TPM_ALG_ID, table 9). */
export const ALGORITHM = {
  sha1: 0x0004,
  sha256: 0x000b,
  sha384: 0x000c,
  sha512: 0x000d,
  none: 0x0010,
  ecdsa: 0x0018,
  ecc: 0x0023,
} as const;

/** Curves (TPM_ECC_CURVE, table 10). */
export const CURVE = { 'P-256': 0x0003, 'P-384': 0x0004 } as const;
export type Curve = keyof typeof CURVE;

/** Hash of a PCR bank. */
export type Bank = 'sha1' | 'sha256' | 'sha384' | 'sha512';

/** Object attributes (TPMA_OBJECT, table 31). */
export const ATTRIBUTE = {
  fixedTpm: 1 << 1,
  fixedParent: 1 << 4,
  sensitiveDataOrigin: 1 << 5,
  userWithAuth: 1 << 6,
  restricted: 1 << 16,
  sign: 1 << 18,
} as const;

/** Response codes (TPM_RC, table 16) after which the command is repeated. */
export const TRY_AGAIN: ReadonlySet<number> = new Set([0x908, 0x90a, 0x922]);

/** PCRs of a PC Client TPM. */
export const PCR_COUNT = 24;
