import { BinaryReader } from '../encoding/binary-reader.ts';

/** Report of the quoting enclave: an SGX REPORT body (Intel SDM volume 3D, REPORT). */

export const QE_REPORT_BYTES = 384;

export interface QeReport {
  readonly bytes: Uint8Array;
  readonly cpuSvn: Uint8Array;
  readonly miscSelect: Uint8Array;
  readonly attributes: Uint8Array;
  readonly mrEnclave: Uint8Array;
  readonly mrSigner: Uint8Array;
  readonly isvProdId: number;
  readonly isvSvn: number;
  readonly reportData: Uint8Array;
}

/** @throws CocosError EVIDENCE_INVALID unless `bytes` are exactly one report body. */
export function parseQeReport(bytes: Uint8Array): QeReport {
  const reader = new BinaryReader(bytes, 'QE report', 'little');
  const cpuSvn = reader.bytes(16, 'CPUSVN');
  const miscSelect = reader.bytes(4, 'MISCSELECT');
  // Reserved bytes are signed and have no meaning.
  reader.bytes(28, 'reserved');
  const attributes = reader.bytes(16, 'ATTRIBUTES');
  const mrEnclave = reader.bytes(32, 'MRENCLAVE');
  reader.bytes(32, 'reserved');
  const mrSigner = reader.bytes(32, 'MRSIGNER');
  reader.bytes(96, 'reserved');
  const isvProdId = reader.u16('ISVPRODID');
  const isvSvn = reader.u16('ISVSVN');
  reader.bytes(60, 'reserved');
  const reportData = reader.bytes(64, 'REPORTDATA');
  reader.end();
  return { bytes, cpuSvn, miscSelect, attributes, mrEnclave, mrSigner, isvProdId, isvSvn, reportData };
}
