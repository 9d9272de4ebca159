import { BinaryReader } from '../encoding/binary-reader.ts';

/** Body of a TDX quote: the statement of the TDX module about a trust domain (Intel DCAP quote format). */

export const TD10_BODY_BYTES = 584;
export const TD15_BODY_BYTES = 648;

export interface TdReport {
  /** 16 bytes: SVN, major version of the module, and other parts of the TEE's TCB. */
  readonly teeTcbSvn: Uint8Array;
  readonly mrSeam: Uint8Array;
  readonly mrSignerSeam: Uint8Array;
  readonly seamAttributes: Uint8Array;
  readonly tdAttributes: Uint8Array;
  readonly xfam: Uint8Array;
  readonly mrtd: Uint8Array;
  readonly mrConfigId: Uint8Array;
  readonly mrOwner: Uint8Array;
  readonly mrOwnerConfig: Uint8Array;
  /** Four registers of 48 bytes. */
  readonly rtmrs: readonly [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  readonly reportData: Uint8Array;
  /** TDX 1.5 alone: TCB of the module that runs now, and service TD. */
  readonly td15: { readonly teeTcbSvn2: Uint8Array; readonly mrServiceTd: Uint8Array } | null;
}

/**
 * Reads a body of 584 (TDX 1.0) or 648 bytes (TDX 1.5).
 *
 * @throws CocosError EVIDENCE_INVALID
 */
export function parseTdReport(bytes: Uint8Array): TdReport {
  const reader = new BinaryReader(bytes, 'TD report', 'little');
  if (bytes.length !== TD10_BODY_BYTES && bytes.length !== TD15_BODY_BYTES) {
    throw reader.error(`${bytes.length} bytes, expected ${TD10_BODY_BYTES} or ${TD15_BODY_BYTES}`);
  }
  const take = (size: number): Uint8Array => reader.bytes(size, 'a register');
  const base = {
    teeTcbSvn: take(16),
    mrSeam: take(48),
    mrSignerSeam: take(48),
    seamAttributes: take(8),
    tdAttributes: take(8),
    xfam: take(8),
    mrtd: take(48),
    mrConfigId: take(48),
    mrOwner: take(48),
    mrOwnerConfig: take(48),
    rtmrs: [take(48), take(48), take(48), take(48)] as const,
    reportData: take(64),
  };
  const td15 = bytes.length === TD15_BODY_BYTES ? { teeTcbSvn2: take(16), mrServiceTd: take(48) } : null;
  return { ...base, td15 };
}
