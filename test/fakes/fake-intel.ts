import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { Collateral } from '../../src/attestation/collateral/collateral.ts';
import { integer, octetString, oid, sequence } from '../../src/attestation/x509/der-writer.ts';
import {
  AUTHORITY,
  authority,
  type Extension,
  type Issuer,
  issue,
  revocationList,
  toPem,
} from './x509-issuer.ts';

/**
 * A hierarchy like Intel's with its own root: every signature is valid, and each property of a quote and of its
 * collateral can be changed alone.
 */

const DAY = 86_400_000;
export const AT = Date.parse('2026-06-01T00:00:00Z');
const SGX = '1.2.840.113741.1.13.1';
const FMSPC = '00a06d080000';

const newKey = (): KeyObject => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));

/** x ‖ y of a P-256 key. */
export function point(key: KeyObject): Uint8Array {
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  return new Uint8Array(spki.subarray(-64));
}

export const rawSign = (message: Uint8Array, key: KeyObject): Uint8Array =>
  new Uint8Array(sign('sha256', message, { key, dsaEncoding: 'ieee-p1363' }));

export interface PckOptions {
  readonly components?: readonly number[];
  readonly pceSvn?: number;
  readonly fmspc?: string;
  /** Of the root: CAs that may follow below. */
  readonly rootPathLength?: number;
}

function sgxExtension(options: PckOptions): Extension {
  const components = options.components ?? Array.from({ length: 16 }, () => 2);
  const pair = (id: string, value: Uint8Array) => sequence(oid(id), value);
  const tcb = sequence(
    ...components.map((svn, index) => pair(`${SGX}.2.${index + 1}`, integer(svn))),
    pair(`${SGX}.2.17`, integer(options.pceSvn ?? 11)),
    pair(`${SGX}.2.18`, octetString(new Uint8Array(16))),
  );
  const value = sequence(
    pair(`${SGX}.1`, octetString(new Uint8Array(16).fill(7))),
    pair(`${SGX}.2`, tcb),
    pair(`${SGX}.3`, octetString(new Uint8Array(2))),
    pair(`${SGX}.4`, octetString(bytes(options.fmspc ?? FMSPC))),
    pair(`${SGX}.5`, Uint8Array.of(0x0a, 1, 1)),
  );
  return { oid: SGX, value };
}

export interface Intel {
  readonly root: Issuer & { readonly certificate: Uint8Array };
  readonly platform: Issuer & { readonly certificate: Uint8Array };
  readonly pck: Issuer & { readonly certificate: Uint8Array };
  readonly tcbSigner: Issuer & { readonly certificate: Uint8Array };
  /** `sha256:` digest of the root. */
  readonly rootDigest: string;
}

const span = { notBefore: AT - 100 * DAY, notAfter: AT + 1000 * DAY };
export const PCK_SERIAL = Uint8Array.of(0x11, 0x22);
export const SIGNER_SERIAL = Uint8Array.of(0x33);
export const PLATFORM_SERIAL = Uint8Array.of(0x44);

/** The complete hierarchy, optionally with a PCK of other properties. */
export function createIntel(pckOptions: PckOptions = {}): Intel {
  const [rootKey, platformKey, pckKey, signerKey] = [newKey(), newKey(), newKey(), newKey()];
  const root = { name: 'Intel SGX Root CA', key: rootKey };
  const platform = { name: 'Intel SGX PCK Platform CA', key: platformKey };
  const certificate = (
    subject: string,
    issuer: Issuer,
    serial: Uint8Array,
    publicKey: KeyObject,
    extensions: readonly Extension[],
  ) => issue({ subject, issuer, serial, validity: span, publicKey, extensions });
  const rootCertificate = certificate(
    root.name,
    root,
    Uint8Array.of(1),
    rootKey,
    authority(pckOptions.rootPathLength),
  );
  return {
    root: { ...root, certificate: rootCertificate },
    platform: {
      ...platform,
      certificate: certificate(platform.name, root, PLATFORM_SERIAL, platformKey, AUTHORITY),
    },
    pck: {
      name: 'Intel SGX PCK Certificate',
      key: pckKey,
      certificate: certificate('Intel SGX PCK Certificate', platform, PCK_SERIAL, pckKey, [
        sgxExtension(pckOptions),
      ]),
    },
    tcbSigner: {
      name: 'Intel SGX TCB Signing',
      key: signerKey,
      certificate: certificate('Intel SGX TCB Signing', root, SIGNER_SERIAL, signerKey, []),
    },
    rootDigest: `sha256:${createHash('sha256').update(rootCertificate).digest('hex')}`,
  };
}

export interface QuoteOptions {
  readonly version?: 4 | 5;
  /** Changes header and body before they are signed. */
  readonly beforeSigning?: (quote: Buffer, body: number) => void;
  readonly qeReport?: (report: Buffer) => void;
  /** Key that signs the quote; its public half may differ from the one that is bound. */
  readonly attestationKey?: KeyObject;
  readonly boundKey?: Uint8Array;
  /** Certificates in the quote instead of the hierarchy's own. */
  readonly chain?: readonly Uint8Array[];
  readonly pckKey?: KeyObject;
  readonly outerType?: number;
  readonly trailing?: Uint8Array;
  readonly bodyType?: number;
  readonly bodySize?: number;
}

export const TEE_TCB_SVN = bytes('06010300000000000000000000000000');
export const REPORT_DATA = Uint8Array.from({ length: 64 }, (_, i) => i);
const QE_SIGNER = 'dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5';

function header(version: number): Buffer {
  const head = Buffer.alloc(48);
  head.writeUInt16LE(version, 0);
  head.writeUInt16LE(2, 2);
  head.writeUInt32LE(0x81, 4);
  head.set(bytes('939a7233f79c4ca9940a0db3957f0607'), 12);
  return head;
}

function tdBody(size: number): Buffer {
  const body = Buffer.alloc(size);
  body.set(TEE_TCB_SVN, 0);
  body.fill(0x5b, 16, 64);
  // SEPT_VE_DISABLE
  body.writeUInt32LE(1 << 28, 120);
  body.writeUInt32LE(0x602e7, 128);
  body.fill(0x91, 136, 184);
  for (const [index, value] of [0x40, 0x41, 0x42, 0x43].entries()) {
    body.fill(value, 328 + 48 * index, 376 + 48 * index);
  }
  body.set(REPORT_DATA, 520);
  if (size === 648) body.set(TEE_TCB_SVN, 584);
  return body;
}

const u16 = (value: number): Buffer => {
  const out = Buffer.alloc(2);
  out.writeUInt16LE(value);
  return out;
};
const u32 = (value: number): Buffer => {
  const out = Buffer.alloc(4);
  out.writeUInt32LE(value);
  return out;
};

/** A quote that is correct except for the options. */
export function createQuote(intel: Intel, options: QuoteOptions = {}): Uint8Array {
  const version = options.version ?? 4;
  const size = version === 4 ? 584 : (options.bodySize ?? 648);
  const descriptor = version === 4 ? Buffer.alloc(0) : Buffer.concat([u16(options.bodyType ?? 3), u32(size)]);
  const signedPart = Buffer.concat([header(version), descriptor, tdBody(size)]);
  options.beforeSigning?.(signedPart, 48 + descriptor.length);
  const key = options.attestationKey ?? newKey();
  const authData = Buffer.from(Array.from({ length: 32 }, (_, i) => i));
  const qeReport = Buffer.alloc(384);
  qeReport.writeUInt8(0x15, 48);
  qeReport.writeUInt8(0xe7, 56);
  qeReport.set(bytes(QE_SIGNER), 128);
  qeReport.writeUInt16LE(2, 256);
  qeReport.writeUInt16LE(6, 258);
  const bound = options.boundKey ?? point(key);
  qeReport.set(createHash('sha256').update(bound).update(authData).digest(), 320);
  options.qeReport?.(qeReport);
  const chain = options.chain ?? [intel.pck.certificate, intel.platform.certificate, intel.root.certificate];
  const pem = Buffer.from(chain.map((der) => toPem(der)).join(''));
  const inner = Buffer.concat([u16(5), u32(pem.length), pem]);
  const qePart = Buffer.concat([
    qeReport,
    rawSign(qeReport, options.pckKey ?? intel.pck.key),
    u16(authData.length),
    authData,
    inner,
  ]);
  const outerType = options.outerType ?? 6;
  const certification = outerType === 5 ? inner : Buffer.concat([u16(outerType), u32(qePart.length), qePart]);
  const data = Buffer.concat([rawSign(signedPart, key), point(key), certification]);
  return new Uint8Array(
    Buffer.concat([signedPart, u32(data.length), data, options.trailing ?? new Uint8Array()]),
  );
}

const iso = (ms: number): string => new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z');
const component = (svn: number) => ({ svn });
const dates = { issueDate: iso(AT - 5 * DAY), nextUpdate: iso(AT + 25 * DAY) };

/** TCB information as JSON data; change it and sign it again. */
export function tcbInfoJson() {
  return {
    id: 'TDX',
    version: 3,
    ...dates,
    fmspc: FMSPC,
    pceId: '0000',
    tcbType: 0,
    tcbEvaluationDataNumber: 18,
    tdxModule: { mrsigner: '0'.repeat(96), attributes: '0'.repeat(16), attributesMask: 'F'.repeat(16) },
    tdxModuleIdentities: [
      {
        id: 'TDX_01',
        mrsigner: '0'.repeat(96),
        attributes: '0'.repeat(16),
        attributesMask: 'F'.repeat(16),
        tcbLevels: [
          { tcb: { isvsvn: 6 }, tcbDate: '2025-03-13T00:00:00Z', tcbStatus: 'UpToDate' },
          {
            tcb: { isvsvn: 2 },
            tcbDate: '2023-08-09T00:00:00Z',
            tcbStatus: 'OutOfDate',
            advisoryIDs: ['INTEL-SA-01036'],
          },
        ],
      },
    ],
    tcbLevels: [
      {
        tcb: {
          sgxtcbcomponents: Array.from({ length: 16 }, () => component(2)),
          pcesvn: 11,
          tdxtcbcomponents: [5, 0, 3, ...Array.from({ length: 13 }, () => 0)].map(component),
        },
        tcbDate: '2025-03-13T00:00:00Z',
        tcbStatus: 'UpToDate',
        advisoryIDs: [] as string[],
      },
      {
        tcb: {
          sgxtcbcomponents: Array.from({ length: 16 }, () => component(1)),
          pcesvn: 5,
          tdxtcbcomponents: [3, 0, 1, ...Array.from({ length: 13 }, () => 0)].map(component),
        },
        tcbDate: '2018-01-04T00:00:00Z',
        tcbStatus: 'OutOfDate',
        advisoryIDs: ['INTEL-SA-00837'],
      },
    ],
  };
}

export function qeIdentityJson() {
  return {
    id: 'TD_QE',
    version: 2,
    ...dates,
    tcbEvaluationDataNumber: 18,
    miscselect: '00000000',
    miscselectMask: 'FFFFFFFF',
    attributes: '11000000000000000000000000000000',
    attributesMask: 'FBFFFFFFFFFFFFFF0000000000000000',
    mrsigner: QE_SIGNER.toUpperCase(),
    isvprodid: 2,
    tcbLevels: [{ tcb: { isvsvn: 4 }, tcbDate: '2025-03-13T00:00:00Z', tcbStatus: 'UpToDate' }],
  };
}

export function signJson(value: unknown, key: KeyObject) {
  const body = new TextEncoder().encode(JSON.stringify(value));
  return { body, signature: rawSign(body, key) };
}

export interface CollateralOptions {
  readonly tcbInfo?: (info: ReturnType<typeof tcbInfoJson>) => void;
  readonly qeIdentity?: (identity: ReturnType<typeof qeIdentityJson>) => void;
  readonly revokedByPlatform?: readonly Uint8Array[];
  readonly revokedByRoot?: readonly Uint8Array[];
  readonly crlDates?: { readonly thisUpdate: number; readonly nextUpdate: number };
}

/** Collateral under the hierarchy, complete and current unless changed. */
export function createCollateral(intel: Intel, options: CollateralOptions = {}): Collateral {
  const info = tcbInfoJson();
  options.tcbInfo?.(info);
  const identity = qeIdentityJson();
  options.qeIdentity?.(identity);
  const when = options.crlDates ?? { thisUpdate: AT - DAY, nextUpdate: AT + DAY };
  return {
    certificates: [intel.tcbSigner.certificate, intel.root.certificate],
    revocationLists: [
      revocationList({ issuer: intel.platform, revoked: options.revokedByPlatform ?? [], ...when }),
      revocationList({ issuer: intel.root, revoked: options.revokedByRoot ?? [], ...when }),
    ],
    tcbInfos: [signJson(info, intel.tcbSigner.key)],
    qeIdentities: [signJson(identity, intel.tcbSigner.key)],
  };
}
