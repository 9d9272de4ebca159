import { createHmac, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { CocosError } from '../../errors.ts';
import { FIELD, SNP_REPORT_BYTES, SNP_SIGNED_BYTES } from '../snp/abi.ts';
import { AMD_OID } from '../snp/endorsement.ts';
import { PRODUCTS } from '../snp/products.ts';
import { encodeTcb, type Tcb } from '../snp/tcb.ts';
import { ia5String, integer } from '../x509/der-writer.ts';
import { type ExtensionInput, issueCertificate } from './issue.ts';
import type { DevelopmentRoot } from './root.ts';

/**
 * The emulated security processor: signs the same report as SEV-SNP firmware does, under a development root. It
 * replaces hardware on machines without any; the owner of the root can create any report.
 */

const DAY_MS = 86_400_000;
const VCEK_DAYS = 7 * 365;
const REPORT_VERSION = 3;
const PRODUCT = PRODUCTS.emulated;
/** ABI 0.0, SMT allowed, bit 17 as the ABI requires: the default of QEMU. */
const DEFAULT_POLICY = 0x3_0000n;
const DERIVED_KEY_LABEL = Buffer.from('cocosai derived key v1\0', 'utf8');
const DEFAULT_TCB = { bootloader: 1, tee: 0, snp: 1, microcode: 1 } as const satisfies Tcb;

export interface ReportRequest {
  /** 64 bytes. */
  readonly reportData: Uint8Array;
  /** 48 bytes: the launch measurement. */
  readonly measurement: Uint8Array;
  /** 32 bytes (default: zero). */
  readonly hostData?: Uint8Array;
  /** Guest policy; bit 17 is always set. */
  readonly policy?: bigint;
  /** 0..3 (default: 0). */
  readonly vmpl?: number;
  readonly guestSvn?: number;
  /** 32 bytes that identify the guest (default: random). */
  readonly reportId?: Uint8Array;
}

export interface SecurityProcessor {
  /** VCEK, ASK and ARK in DER. */
  readonly certificates: readonly Uint8Array[];
  /** 32 bytes that this processor derives for guests of one measurement, like SNP_GET_DERIVED_KEY. */
  derivedKey(guest: { readonly measurement: Uint8Array; readonly hostData: Uint8Array }): Uint8Array;
  /** Signs one report. @throws CocosError INPUT_INVALID for fields with an invalid size. */
  report(request: ReportRequest): Uint8Array;
}

function vcekExtensions(chipId: Uint8Array, tcb: Tcb): ExtensionInput[] {
  const levels = [
    ['bootloader', tcb.bootloader],
    ['tee', tcb.tee],
    ['spl4', 0],
    ['spl5', 0],
    ['spl6', 0],
    ['spl7', 0],
    ['snp', tcb.snp],
    ['microcode', tcb.microcode],
  ] as const;
  return [
    { oid: AMD_OID.structVersion, value: integer(PRODUCT.structVersion) },
    { oid: AMD_OID.productName, value: ia5String(PRODUCT.name) },
    ...levels.map(([part, level]) => ({ oid: AMD_OID[part], value: integer(level) })),
    // Raw, as in real certificates.
    { oid: AMD_OID.hardwareId, value: chipId },
  ];
}

function writeReport(request: ReportRequest, chipId: Uint8Array, tcb: Tcb): Uint8Array {
  const report = new Uint8Array(SNP_REPORT_BYTES);
  const view = new DataView(report.buffer);
  const put = (name: keyof typeof FIELD, bytes: Uint8Array): void => {
    const [offset, size] = FIELD[name];
    if (bytes.length !== size) {
      throw new CocosError('INPUT_INVALID', `${name} has ${bytes.length} bytes, expected ${size}`);
    }
    report.set(bytes, offset);
  };
  const vmpl = request.vmpl ?? 0;
  if (!Number.isInteger(vmpl) || vmpl < 0 || vmpl > 3) {
    throw new CocosError('INPUT_INVALID', `VMPL ${vmpl} does not exist`);
  }
  view.setUint32(FIELD.version[0], REPORT_VERSION, true);
  view.setUint32(FIELD.guestSvn[0], request.guestSvn ?? 0, true);
  view.setBigUint64(FIELD.policy[0], (request.policy ?? DEFAULT_POLICY) | (1n << 17n), true);
  view.setUint32(FIELD.vmpl[0], vmpl, true);
  view.setUint32(FIELD.signatureAlgorithm[0], 1, true);
  put('reportData', request.reportData);
  put('measurement', request.measurement);
  put('hostData', request.hostData ?? new Uint8Array(32));
  put('reportId', request.reportId ?? randomBytes(32));
  put('reportIdMa', new Uint8Array(32).fill(0xff));
  put('chipId', chipId);
  const version = encodeTcb(tcb, PRODUCT.tcb);
  for (const name of ['currentTcb', 'reportedTcb', 'committedTcb', 'launchTcb'] as const) put(name, version);
  return report;
}

/** Signs bytes 0x000..0x29f and stores r and s little-endian in their 72-byte fields. */
function signReport(report: Uint8Array, key: KeyObject): void {
  const body = report.subarray(0, SNP_SIGNED_BYTES);
  const signature = sign('sha384', body, { key, dsaEncoding: 'ieee-p1363' });
  report.set(Uint8Array.from(signature.subarray(0, 48)).reverse(), FIELD.signatureR[0]);
  report.set(Uint8Array.from(signature.subarray(48)).reverse(), FIELD.signatureS[0]);
}

/**
 * Starts an emulated security processor with a new endorsement key, which never leaves it.
 *
 * @param options.chipId 64 bytes that name the emulated chip.
 * @param options.now milliseconds since 1970, for the validity of the endorsement certificate.
 * @throws CocosError INPUT_INVALID
 */
export function createSecurityProcessor(options: {
  root: DevelopmentRoot;
  chipId: Uint8Array;
  tcb?: Tcb;
  now: number;
}): SecurityProcessor {
  const { root, now } = options;
  const chipId = Uint8Array.from(options.chipId);
  const tcb = options.tcb ?? DEFAULT_TCB;
  if (chipId.length !== FIELD.chipId[1]) {
    throw new CocosError(
      'INPUT_INVALID',
      `the chip id has ${chipId.length} bytes, expected ${FIELD.chipId[1]}`,
    );
  }
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const secret = randomBytes(32);
  const vcek = issueCertificate({
    subject: 'SEV-VCEK',
    issuer: root.ask.name,
    issuerKey: root.ask.key,
    serial: randomBytes(16),
    notBefore: now - DAY_MS,
    notAfter: now + VCEK_DAYS * DAY_MS,
    publicKey,
    extensions: vcekExtensions(chipId, tcb),
  });
  return {
    certificates: [vcek, root.ask.certificate, root.ark.certificate],
    derivedKey: ({ measurement, hostData }) => {
      const context = Buffer.concat([DERIVED_KEY_LABEL, measurement, hostData]);
      return new Uint8Array(createHmac('sha256', secret).update(context).digest());
    },
    report(request) {
      const report = writeReport(request, chipId, tcb);
      signReport(report, privateKey);
      return report;
    },
  };
}
