import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js';
import type { PckExtensions } from './pck.ts';
import type { QeReport } from './qe-report.ts';
import type { EnclaveLevel, ModuleIdentity, PlatformLevel, QeIdentity, TcbInfo } from './tcb-info.ts';
import type { TcbStatus } from './tcb-status.ts';
import type { TdReport } from './td-report.ts';

/** Matches a quote with the levels that Intel publishes (PCS v4, TDX verification). */

/** Meaning of a level. */
export interface LevelResult {
  readonly status: TcbStatus;
  /** Milliseconds since 1970. */
  readonly date: number;
  readonly advisories: readonly string[];
}

const result = (level: EnclaveLevel | PlatformLevel): LevelResult => ({
  status: level.tcbStatus,
  date: level.tcbDate,
  advisories: level.advisoryIDs,
});

/** Whether `found` equals `expected` in the bits of the mask; all three of one length. */
export function maskedEqual(found: Uint8Array, expected: string, mask: string): boolean {
  const want = hexToBytes(expected);
  const bits = hexToBytes(mask);
  return found.every((byte, i) => (byte & (bits[i] ?? 0xff)) === ((want[i] ?? 0) & (bits[i] ?? 0xff)));
}

/** The first level that the quoting enclave reaches, or null. */
export function qeLevel(identity: QeIdentity, report: QeReport): LevelResult | null {
  const level = identity.tcbLevels.find(({ tcb }) => tcb.isvsvn <= report.isvSvn);
  return level === undefined ? null : result(level);
}

/** Whether signer, product and attributes of the quoting enclave are those of the identity. */
export function qeMatches(identity: QeIdentity, report: QeReport): boolean {
  return (
    bytesToHex(report.mrSigner) === identity.mrsigner &&
    report.isvProdId === identity.isvprodid &&
    maskedEqual(report.miscSelect, identity.miscselect, identity.miscselectMask) &&
    maskedEqual(report.attributes, identity.attributes, identity.attributesMask)
  );
}

export interface ModuleResult {
  /** Null where the TCB information versions the module with the platform. */
  readonly level: LevelResult | null;
  readonly text: string;
}

const signerMatches = (
  body: TdReport,
  identity: Pick<ModuleIdentity, 'mrsigner' | 'attributes' | 'attributesMask'>,
): boolean =>
  bytesToHex(body.mrSignerSeam) === identity.mrsigner &&
  maskedEqual(body.seamAttributes, identity.attributes, identity.attributesMask);

/**
 * Appraises the TDX module. Major version 0 is versioned with the platform; any other has its own identity in the
 * TCB information, `TDX_` and two hex digits.
 *
 * @returns the reason when the module is not known.
 */
export function matchModule(info: TcbInfo, body: TdReport): ModuleResult | string {
  const [svn = 0, major = 0] = body.teeTcbSvn;
  if (major === 0) {
    if (!signerMatches(body, info.tdxModule)) return 'another signer or other attributes';
    return { level: null, text: 'versioned with the platform' };
  }
  const id = `TDX_${major.toString(16).padStart(2, '0').toUpperCase()}`;
  const identity = info.tdxModuleIdentities.find((each) => each.id === id);
  if (identity === undefined) return `no identity ${id}`;
  if (!signerMatches(body, identity)) return `${id} has another signer or other attributes`;
  const level = identity.tcbLevels.find(({ tcb }) => tcb.isvsvn <= svn);
  if (level === undefined) return `${id} has no level for version ${svn}`;
  return { level: result(level), text: `${id} version ${svn}: ${level.tcbStatus}` };
}

/**
 * The first level that the platform reaches: all 16 components and the PCE of the PCK certificate, and the TDX
 * components of `teeTcbSvn` (without the module's two bytes if the module has its own identity).
 */
export function platformLevel(info: TcbInfo, pck: PckExtensions, teeTcbSvn: Uint8Array): LevelResult | null {
  const from = (teeTcbSvn[1] ?? 0) > 0 ? 2 : 0;
  const level = info.tcbLevels.find(
    ({ tcb }) =>
      tcb.sgxtcbcomponents.every(({ svn }, i) => (pck.components[i] ?? -1) >= svn) &&
      pck.pceSvn >= tcb.pcesvn &&
      tcb.tdxtcbcomponents.every(({ svn }, i) => i < from || (teeTcbSvn[i] ?? -1) >= svn),
  );
  return level === undefined ? null : result(level);
}
