import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { AppraisalInput } from '../../src/attestation/appraisal/appraisal.ts';
import { type ExtensionInput, issueCertificate } from '../../src/attestation/emulated/issue.ts';
import {
  createDevelopmentRoot,
  type DevelopmentRoot,
  developmentRootDigest,
} from '../../src/attestation/emulated/root.ts';
import { encodeClaims, reportData } from '../../src/attestation/evidence/claims.ts';
import { type EvidenceBundle, encodeEvidence } from '../../src/attestation/evidence/evidence.ts';
import type { LaunchLog, VmLaunchLog } from '../../src/attestation/evidence/launch-log.ts';
import { measureLaunch } from '../../src/attestation/measure/launch.ts';
import { parsePolicy } from '../../src/attestation/policy/policy.ts';
import { parseReferenceValues } from '../../src/attestation/policy/reference.ts';
import { attestationCrypto } from '../../src/crypto/attestation-crypto.ts';

/**
 * A host of the emulated platform whose signatures are always valid, so that a test can change one property of a report, a
 * certificate or a launch and check that the verifier names it.
 */

export const NOW = Date.parse('2026-06-01T00:00:00Z');
export const DAY = 86_400_000;
export const NONCE = Uint8Array.from({ length: 32 }, (_, i) => i);
export const CHIP_ID = Uint8Array.from({ length: 64 }, (_, i) => 0x80 + i);
export const MANIFEST = Uint8Array.from({ length: 32 }, (_, i) => 0x40 + i);
export const manifestText = `sha256:${Buffer.from(MANIFEST).toString('hex')}`;

let cached: Promise<DevelopmentRoot> | undefined;

/** One development root per test file, because RSA-4096 keys take seconds. */
export function testRoot(): Promise<DevelopmentRoot> {
  cached ??= createDevelopmentRoot({ now: NOW });
  return cached;
}

const integerValue = (n: number): Uint8Array => Uint8Array.of(2, 1, n);
const ia5Value = (text: string): Uint8Array => Uint8Array.of(0x16, text.length, ...Buffer.from(text));
const AMD = '1.3.6.1.4.1.3704.1';

/** AMD extensions of a VCEK as the facts describe them, by short name, so that a test can drop or change one. */
export const vcekExtensions: Readonly<Record<string, ExtensionInput>> = {
  structVersion: { oid: `${AMD}.1`, value: integerValue(0) },
  productName: { oid: `${AMD}.2`, value: ia5Value('Emulated') },
  blSPL: { oid: `${AMD}.3.1`, value: integerValue(3) },
  teeSPL: { oid: `${AMD}.3.2`, value: integerValue(0) },
  snpSPL: { oid: `${AMD}.3.3`, value: integerValue(8) },
  ucodeSPL: { oid: `${AMD}.3.8`, value: integerValue(115) },
  hwID: { oid: `${AMD}.4`, value: CHIP_ID },
};
export const amd = { oid: AMD, integerValue, ia5Value };

export interface EndorsementOptions {
  readonly subject?: string;
  readonly issuer?: { name: string; key: KeyObject };
  readonly extensions?: readonly ExtensionInput[];
  readonly curve?: string;
  readonly notBefore?: number;
  readonly notAfter?: number;
}

/** A leaf under the root's intermediate, and its private key. */
export function endorse(root: DevelopmentRoot, options: EndorsementOptions = {}) {
  const keys = generateKeyPairSync('ec', { namedCurve: options.curve ?? 'P-384' });
  const issuer = options.issuer ?? root.ask;
  const certificate = issueCertificate({
    subject: options.subject ?? 'SEV-VCEK',
    issuer: issuer.name,
    issuerKey: issuer.key,
    serial: Uint8Array.of(7),
    notBefore: options.notBefore ?? NOW - DAY,
    notAfter: options.notAfter ?? NOW + DAY,
    publicKey: keys.publicKey,
    extensions: options.extensions ?? Object.values(vcekExtensions),
  });
  return { certificate, key: keys.privateKey };
}

/** A CA certificate with the given name, for the public half of any key. */
export function authority(
  subject: string,
  key: KeyObject,
  issuer: { name: string; key: KeyObject },
  extensions: readonly ExtensionInput[],
): Uint8Array {
  return issueCertificate({
    subject,
    issuer: issuer.name,
    issuerKey: issuer.key,
    serial: Uint8Array.of(9),
    notBefore: NOW - DAY,
    notAfter: NOW + DAY,
    publicKey: createPublicKey(key),
    extensions,
  });
}

const TCB = Uint8Array.of(3, 0, 0, 0, 0, 0, 8, 115);

/** An unsigned report of version 3, written from the table of offsets. */
export function blankReport(reportDataBytes: Uint8Array, measurement: Uint8Array): Buffer {
  const report = Buffer.alloc(1184);
  report.writeUInt32LE(3, 0x000);
  report.writeBigUInt64LE(0x30000n, 0x008);
  report.writeUInt32LE(1, 0x034);
  for (const offset of [0x038, 0x180, 0x1e0, 0x1f0]) report.set(TCB, offset);
  report.set(reportDataBytes, 0x050);
  report.set(measurement, 0x090);
  report.fill(0xff, 0x160, 0x180);
  report.set(CHIP_ID, 0x1a0);
  return report;
}

/** Signs bytes 0..0x29f and stores r and s little-endian. */
export function signReport(report: Buffer, key: KeyObject): Buffer {
  const signature = sign('sha384', report.subarray(0, 0x2a0), { key, dsaEncoding: 'ieee-p1363' });
  report.set(Buffer.from(signature.subarray(0, 48)).reverse(), 0x2a0);
  report.set(Buffer.from(signature.subarray(48, 96)).reverse(), 0x2e8);
  return report;
}

const ROOT_HASH = '5'.repeat(64);
export const vmLog: VmLaunchLog = {
  kind: 'vm',
  firmware: { name: 'bios-256k.bin', digest: '1'.repeat(96) },
  kernel: '2'.repeat(64),
  initrd: '3'.repeat(64),
  commandLine: `console=ttyS0 quiet cocos.roothash=${ROOT_HASH} panic=-1`,
  vcpus: 2,
  vcpuType: 'EPYC-v4',
  guestFeatures: 1,
};

export const referenceJson = {
  version: 1,
  eosVersion: 'eos-1',
  vm: {
    firmware: { name: 'bios-256k.bin', sha256: '0'.repeat(64), state: '1'.repeat(96) },
    kernel: { name: 'vmlinuz', sha256: '2'.repeat(64) },
    initrd: { name: 'initrd.img', sha256: '3'.repeat(64) },
    commandLine: `console=ttyS0 quiet cocos.roothash=${ROOT_HASH} panic=-1`,
    rootHash: ROOT_HASH,
    vcpuTypes: ['EPYC-v4'],
    maxVcpus: 8,
  },
  process: { agent: '6'.repeat(64), runtime: '7'.repeat(64) },
};

export const claims = {
  version: 1,
  platform: 'emulated',
  bootId: new Uint8Array(16).fill(1),
  signingKey: new Uint8Array(32).fill(2),
  kemKeys: [
    { kem: 'x-wing', publicKey: new Uint8Array(1216).fill(3) },
    { kem: 'x25519', publicKey: new Uint8Array(32).fill(4) },
  ],
  manifestDigest: MANIFEST,
  eosVersion: 'eos-1',
} as const;

export interface SceneOptions {
  readonly claims?: Parameters<typeof encodeClaims>[0];
  /** Claims in the bundle instead of the bound ones. */
  readonly otherClaims?: Uint8Array;
  readonly log?: LaunchLog | null;
  readonly endorsement?: EndorsementOptions;
  /** Changes the report before it is signed. */
  readonly beforeSigning?: (report: Buffer) => void;
  /** Changes the report after it was signed. */
  readonly afterSigning?: (report: Buffer) => void;
  readonly certificates?: (leaf: Uint8Array) => Uint8Array[];
  readonly policy?: Record<string, unknown>;
  readonly reference?: Record<string, unknown>;
  readonly nonce?: Uint8Array;
}

/** The input of an appraisal that is accepted without options, which change it. */
export async function scene(
  options: SceneOptions = {},
): Promise<AppraisalInput & { bundle: EvidenceBundle }> {
  const root = await testRoot();
  const bound = encodeClaims(options.claims ?? { ...claims, kemKeys: [...claims.kemKeys] });
  const log = options.log === undefined ? vmLog : options.log;
  const measurement = log === null ? new Uint8Array(48) : measureLaunch(log, attestationCrypto);
  const { certificate, key } = endorse(root, options.endorsement);
  const report = blankReport(reportData(options.nonce ?? NONCE, bound, attestationCrypto), measurement);
  options.beforeSigning?.(report);
  signReport(report, key);
  options.afterSigning?.(report);
  const certificates = options.certificates?.(certificate) ?? [
    certificate,
    root.ask.certificate,
    root.ark.certificate,
  ];
  const bundle: EvidenceBundle = {
    version: 1,
    claims: options.otherClaims ?? bound,
    report: { kind: 'snp', report: Uint8Array.from(report), certificates },
    ...(log === null ? {} : { launchLog: log }),
  };
  return {
    bundle,
    evidence: encodeEvidence(bundle),
    nonce: options.nonce ?? NONCE,
    policy: parsePolicy({
      version: 1,
      platforms: ['emulated'],
      emulatedRoot: developmentRootDigest(root),
      ...options.policy,
    }),
    reference: parseReferenceValues({ ...referenceJson, ...options.reference }),
    at: NOW,
    expectedManifestDigest: manifestText,
    crypto: attestationCrypto,
  };
}

export const sha256Hex = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
