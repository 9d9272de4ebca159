import { CocosError } from '../../errors.ts';
import { isZero } from '../encoding/bytes.ts';

/**
 * Byte layout of the SEV-SNP ATTESTATION_REPORT (SEV-SNP ABI specification, AMD 56860, MSG_REPORT_RSP), versions 2, 3
 * and 5. All integers are little-endian.
 */

export const SNP_REPORT_BYTES = 1184;
/** The signature covers the bytes before this offset. */
export const SNP_SIGNED_BYTES = 0x2a0;

/** Offset and size of each field. */
export const FIELD = {
  version: [0x000, 4],
  guestSvn: [0x004, 4],
  policy: [0x008, 8],
  familyId: [0x010, 16],
  imageId: [0x020, 16],
  vmpl: [0x030, 4],
  signatureAlgorithm: [0x034, 4],
  currentTcb: [0x038, 8],
  platformInfo: [0x040, 8],
  keyInfo: [0x048, 4],
  reserved4c: [0x04c, 4],
  reportData: [0x050, 64],
  measurement: [0x090, 48],
  hostData: [0x0c0, 32],
  idKeyDigest: [0x0e0, 48],
  authorKeyDigest: [0x110, 48],
  reportId: [0x140, 32],
  reportIdMa: [0x160, 32],
  reportedTcb: [0x180, 8],
  cpuidFamily: [0x188, 1],
  cpuidModel: [0x189, 1],
  cpuidStepping: [0x18a, 1],
  reserved18b: [0x18b, 21],
  chipId: [0x1a0, 64],
  committedTcb: [0x1e0, 8],
  currentBuild: [0x1e8, 3],
  reserved1eb: [0x1eb, 1],
  committedBuild: [0x1ec, 3],
  reserved1ef: [0x1ef, 1],
  launchTcb: [0x1f0, 8],
  launchMitigations: [0x1f8, 8],
  currentMitigations: [0x200, 8],
  reserved208: [0x208, 152],
  signatureR: [0x2a0, 72],
  signatureS: [0x2e8, 72],
  signatureTail: [0x330, 368],
} as const satisfies Record<string, readonly [number, number]>;

type FieldName = keyof typeof FIELD;

/** Version of the platform's firmware. */
export interface FirmwareVersion {
  readonly build: number;
  readonly minor: number;
  readonly major: number;
}

/** Guest policy, offset 0x008. */
export interface GuestPolicy {
  readonly raw: bigint;
  readonly abiMajor: number;
  readonly abiMinor: number;
  readonly smt: boolean;
  readonly migrationAgent: boolean;
  readonly debug: boolean;
  readonly singleSocket: boolean;
}

export type SigningKeyKind = 'vcek' | 'vlek' | 'none';

/** A parsed report. Byte fields are views into the input; TCB values are decoded once the product is known. */
export interface SnpReport {
  readonly bytes: Uint8Array;
  readonly version: 2 | 3 | 5;
  readonly guestSvn: number;
  readonly policy: GuestPolicy;
  readonly familyId: Uint8Array;
  readonly imageId: Uint8Array;
  /** 0..3; 0xffffffff if the host requested the report. */
  readonly vmpl: number;
  readonly currentTcb: Uint8Array;
  readonly platformInfo: bigint;
  readonly authorKeyUsed: boolean;
  readonly chipKeyMasked: boolean;
  readonly signingKey: SigningKeyKind;
  readonly reportData: Uint8Array;
  readonly measurement: Uint8Array;
  readonly hostData: Uint8Array;
  readonly idKeyDigest: Uint8Array;
  readonly authorKeyDigest: Uint8Array;
  readonly reportId: Uint8Array;
  readonly reportIdMa: Uint8Array;
  readonly reportedTcb: Uint8Array;
  /** Combined family, model and stepping of the CPU; null in version 2. */
  readonly cpuid: { readonly family: number; readonly model: number; readonly stepping: number } | null;
  readonly chipId: Uint8Array;
  readonly committedTcb: Uint8Array;
  readonly currentFirmware: FirmwareVersion;
  readonly committedFirmware: FirmwareVersion;
  readonly launchTcb: Uint8Array;
  /** Mitigation vectors, null before version 5. */
  readonly mitigations: { readonly launch: bigint; readonly current: bigint } | null;
  /** r ‖ s, each 48 bytes big-endian. */
  readonly signature: Uint8Array;
}

const SIGNATURE_ECDSA_P384_SHA384 = 1;
const VMPL_HOST = 0xffff_ffff;
/** Bits 63:26 of the guest policy, which must be zero. */
const POLICY_RESERVED = ~((1n << 26n) - 1n) & 0xffff_ffff_ffff_ffffn;

const invalid = (sentence: string, check = 'report.parse'): CocosError =>
  new CocosError('EVIDENCE_INVALID', `SNP report: ${sentence}`, { details: { check } });

function parsePolicyField(raw: bigint): GuestPolicy {
  if ((raw & POLICY_RESERVED) !== 0n) throw invalid('reserved policy bits are set', 'report.policy-bits');
  const bit = (n: bigint): boolean => ((raw >> n) & 1n) === 1n;
  if (!bit(17n)) throw invalid('policy bit 17 is clear', 'report.policy-bits');
  return {
    raw,
    abiMajor: Number((raw >> 8n) & 0xffn),
    abiMinor: Number(raw & 0xffn),
    smt: bit(16n),
    migrationAgent: bit(18n),
    debug: bit(19n),
    singleSocket: bit(20n),
  };
}

function parseSigningKey(keyInfo: number): SigningKeyKind {
  if (keyInfo >>> 5 !== 0) throw invalid('reserved key bits are set', 'report.key-info');
  const kinds: Readonly<Record<number, SigningKeyKind>> = { 0: 'vcek', 1: 'vlek', 7: 'none' };
  const kind = kinds[(keyInfo >>> 2) & 7];
  if (kind === undefined) throw invalid('unknown signing key', 'report.key-info');
  return kind;
}

/** r or s: 72 bytes little-endian of which P-384 uses 48; the others must be zero, so that each value has a single encoding. */
function signatureHalf(field: Uint8Array): Uint8Array {
  if (!isZero(field.subarray(48)))
    throw invalid('a signature value exceeds 384 bits', 'report.signature-form');
  return Uint8Array.from(field.subarray(0, 48)).reverse();
}

/**
 * Parses exactly one report. Reserved fields must be zero, so no two byte strings mean the same report.
 *
 * @param bytes 1184 bytes.
 * @throws CocosError EVIDENCE_INVALID
 */
export function parseSnpReport(bytes: Uint8Array): SnpReport {
  if (bytes.length !== SNP_REPORT_BYTES)
    throw invalid(`${bytes.length} bytes, expected ${SNP_REPORT_BYTES}`, 'report.size');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = (name: FieldName): Uint8Array => bytes.subarray(FIELD[name][0], FIELD[name][0] + FIELD[name][1]);
  const u8 = (name: FieldName): number => view.getUint8(FIELD[name][0]);
  const u32 = (name: FieldName): number => view.getUint32(FIELD[name][0], true);
  const u64 = (name: FieldName): bigint => view.getBigUint64(FIELD[name][0], true);
  const zero = (name: FieldName): void => {
    if (!isZero(at(name))) throw invalid(`${name} is not zero`, 'report.reserved');
  };
  const build = (name: FieldName): FirmwareVersion => {
    const [low = 0, minor = 0, major = 0] = at(name);
    return { build: low, minor, major };
  };

  const version = u32('version');
  if (version !== 2 && version !== 3 && version !== 5)
    throw invalid(`version ${version} is unknown`, 'report.version');
  if (u32('signatureAlgorithm') !== SIGNATURE_ECDSA_P384_SHA384)
    throw invalid('unknown signature algorithm', 'report.algorithm');
  const vmpl = u32('vmpl');
  if (vmpl > 3 && vmpl !== VMPL_HOST) throw invalid(`VMPL ${vmpl} does not exist`, 'report.vmpl');
  for (const name of ['reserved4c', 'reserved18b', 'reserved1eb', 'reserved1ef', 'reserved208'] as const)
    zero(name);
  if (version === 2) for (const name of ['cpuidFamily', 'cpuidModel', 'cpuidStepping'] as const) zero(name);
  if (version < 5) for (const name of ['launchMitigations', 'currentMitigations'] as const) zero(name);
  zero('signatureTail');
  const keyInfo = u32('keyInfo');
  const signature = new Uint8Array(96);
  signature.set(signatureHalf(at('signatureR')), 0);
  signature.set(signatureHalf(at('signatureS')), 48);

  return {
    bytes,
    version,
    guestSvn: u32('guestSvn'),
    policy: parsePolicyField(u64('policy')),
    familyId: at('familyId'),
    imageId: at('imageId'),
    vmpl,
    currentTcb: at('currentTcb'),
    platformInfo: u64('platformInfo'),
    authorKeyUsed: (keyInfo & 1) === 1,
    chipKeyMasked: (keyInfo & 2) === 2,
    signingKey: parseSigningKey(keyInfo),
    reportData: at('reportData'),
    measurement: at('measurement'),
    hostData: at('hostData'),
    idKeyDigest: at('idKeyDigest'),
    authorKeyDigest: at('authorKeyDigest'),
    reportId: at('reportId'),
    reportIdMa: at('reportIdMa'),
    reportedTcb: at('reportedTcb'),
    cpuid:
      version === 2
        ? null
        : { family: u8('cpuidFamily'), model: u8('cpuidModel'), stepping: u8('cpuidStepping') },
    chipId: at('chipId'),
    committedTcb: at('committedTcb'),
    currentFirmware: build('currentBuild'),
    committedFirmware: build('committedBuild'),
    launchTcb: at('launchTcb'),
    mitigations:
      version === 5 ? { launch: u64('launchMitigations'), current: u64('currentMitigations') } : null,
    signature,
  };
}
