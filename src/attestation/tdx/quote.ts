import { BinaryReader } from '../encoding/binary-reader.ts';
import { pemBlocks } from '../x509/pem.ts';
import { parseQeReport, QE_REPORT_BYTES, type QeReport } from './qe-report.ts';
import { parseTdReport, TD10_BODY_BYTES, TD15_BODY_BYTES, type TdReport } from './td-report.ts';

/** TDX quotes of version 4 and 5 (Intel TDX DCAP Quoting Library API, quote format). Integers are little-endian. */

/** Largest quote that is read, padding included; real ones are below 8 KiB. */
export const MAX_QUOTE_BYTES = 64 * 1024;

const HEADER_BYTES = 48;
const KEY_TYPE_ECDSA_P256 = 2;
const TEE_TYPE_TDX = 0x81;
/** In version 3, the field of the TEE type is reserved and zero. */
const TEE_TYPE_SGX = 0;
const SGX_QUOTE_VERSION = 3;
const CERTIFICATION_PCK_CHAIN = 5;
const CERTIFICATION_QE_REPORT = 6;
/** Body types of version 5. */
const BODY_BYTES: Readonly<Record<number, number>> = { 2: TD10_BODY_BYTES, 3: TD15_BODY_BYTES };
const MAX_CHAIN_CERTIFICATES = 8;
/** The check of everything behind the body, whose sizes are written in it. */
const LENGTHS = 'tdx.lengths';

export interface TdxQuote {
  readonly version: 4 | 5;
  /** Reserved in newer headers; SVNs of quoting enclave and PCE in early version 4. */
  readonly qeSvn: number;
  readonly pceSvn: number;
  readonly qeVendor: Uint8Array;
  readonly userData: Uint8Array;
  readonly body: TdReport;
  /** Header, descriptor and body, which the attestation key signs. */
  readonly signed: Uint8Array;
  /** r ‖ s. */
  readonly signature: Uint8Array;
  /** x ‖ y of the attestation key, P-256. */
  readonly attestationKey: Uint8Array;
  readonly qeReport: QeReport;
  readonly qeReportSignature: Uint8Array;
  readonly qeAuthData: Uint8Array;
  /** PEM text of the PCK certificate and its authorities; `readQuoteChain` splits it. */
  readonly chain: Uint8Array;
  /** Bytes after the signature data: unsigned, and padding only if all of them are zero. */
  readonly trailing: Uint8Array;
}

function readBody(reader: BinaryReader, version: 4 | 5): Uint8Array {
  if (version === 4) return reader.bytes(TD10_BODY_BYTES, 'the body');
  const type = reader.u16('body type');
  const size = reader.u32('body size');
  const expected = BODY_BYTES[type];
  if (expected === undefined)
    throw reader.error(`body type ${type} is not a trust domain's`, 'tdx.body-descriptor');
  if (size !== expected)
    throw reader.error(`body type ${type} with ${size} bytes, expected ${expected}`, 'tdx.body-descriptor');
  return reader.bytes(size, 'the body');
}

/** Certification data: a type, a size, and exactly so many bytes. */
function certificationData(reader: BinaryReader, type: number, where: string): Uint8Array {
  const found = reader.u16(`${where} type`);
  if (found !== type)
    throw reader.error(`${where} is of type ${found}, expected ${type}`, 'tdx.certification-data');
  const bytes = reader.bytes(reader.u32(`${where} size`), where);
  reader.end();
  return bytes;
}

/**
 * DER of the certificates in a quote, in their order.
 *
 * @param chain PEM text, with or without the NUL that the quoting library appends
 * @throws CocosError EVIDENCE_INVALID for any other content
 */
export function readQuoteChain(chain: Uint8Array): Uint8Array[] {
  const reader = new BinaryReader(chain, 'TDX quote certificates', 'little');
  const end = chain.at(-1) === 0 ? chain.length - 1 : chain.length;
  const text = new TextDecoder('latin1').decode(chain.subarray(0, end));
  const rest = text.replace(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g, '');
  if (rest.trim() !== '') throw reader.error('something other than certificates is in the chain');
  const blocks = pemBlocks(text);
  if (blocks.length === 0 || blocks.length > MAX_CHAIN_CERTIFICATES) {
    throw reader.error(`${blocks.length} certificates in the chain`);
  }
  return blocks.map(({ der }) => der);
}

/**
 * Parses one quote. Only ECDSA P-256 quotes of trust domains that contain the certificate chain are accepted. Bytes after
 * the signature data are returned as `trailing`, since some quote services pad their buffers.
 *
 * @throws CocosError EVIDENCE_INVALID
 */
export function parseTdxQuote(bytes: Uint8Array): TdxQuote {
  const reader = new BinaryReader(bytes, 'TDX quote', 'little');
  if (bytes.length > MAX_QUOTE_BYTES)
    throw reader.error(`larger than ${MAX_QUOTE_BYTES} bytes`, 'report.size');
  const version = reader.u16('version');
  const keyType = reader.u16('attestation key type');
  const teeType = reader.u32('TEE type');
  if (version !== 4 && version !== 5) {
    // With the TEE type of TDX it is a quote of another version; without it, it may be anything.
    const quote = teeType === TEE_TYPE_TDX;
    if (quote) throw reader.error(`version ${version} is unknown`, 'report.version');
    if (version === SGX_QUOTE_VERSION && teeType === TEE_TYPE_SGX)
      throw reader.error('a quote of an SGX enclave, not of a trust domain', 'tdx.tee-type');
    throw reader.error('no quote');
  }
  if (keyType !== KEY_TYPE_ECDSA_P256)
    throw reader.error(`attestation key type ${keyType} is not ECDSA P-256`, 'tdx.key-type');
  if (teeType !== TEE_TYPE_TDX)
    throw reader.error(`TEE type 0x${teeType.toString(16)} is not TDX`, 'tdx.tee-type');
  const header = {
    version,
    qeSvn: reader.u16('QE SVN'),
    pceSvn: reader.u16('PCE SVN'),
    qeVendor: reader.bytes(16, 'QE vendor'),
    userData: reader.bytes(20, 'user data'),
  } as const;
  if (reader.offset !== HEADER_BYTES) throw reader.error('header');
  const body = parseTdReport(readBody(reader, version));
  const signed = bytes.subarray(0, reader.offset);

  const tail = new BinaryReader(reader.rest(), 'TDX quote', 'little', LENGTHS);
  const data = new BinaryReader(
    tail.bytes(tail.u32('signature data length'), 'the signature data'),
    'TDX quote signature data',
    'little',
    LENGTHS,
  );
  const trailing = tail.rest();
  const signature = data.bytes(64, 'the signature');
  const attestationKey = data.bytes(64, 'the attestation key');
  const outer = new BinaryReader(
    certificationData(data, CERTIFICATION_QE_REPORT, 'outer certification data'),
    'TDX quote certification data',
    'little',
    LENGTHS,
  );
  const qeReport = parseQeReport(outer.bytes(QE_REPORT_BYTES, 'the QE report'));
  const qeReportSignature = outer.bytes(64, 'the QE report signature');
  const qeAuthData = outer.bytes(outer.u16('auth data length'), 'the auth data');
  const chain = certificationData(outer, CERTIFICATION_PCK_CHAIN, 'inner certification data');
  return {
    ...header,
    body,
    signed,
    signature,
    attestationKey,
    qeReport,
    qeReportSignature,
    qeAuthData,
    chain,
    trailing,
  };
}
