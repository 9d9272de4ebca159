import type { Certificate } from '../x509/certificate.ts';
import { DerReader, type DerValue, derError, oidText, readOnly, smallInteger, TAG } from '../x509/der.ts';

/** Intel's statements in a PCK certificate about the platform (Intel SGX PCK Certificate and CRL Profile). */

const ARC = '1.2.840.113741.1.13.1';
const COMPONENTS = 16;
const PPID = `${ARC}.1`;
const TCB = `${ARC}.2`;
const PCE_ID = `${ARC}.3`;
const FMSPC = `${ARC}.4`;

export interface PckExtensions {
  readonly ppid: Uint8Array;
  /** SVNs of the 16 components of the TCB. */
  readonly components: readonly number[];
  readonly pceSvn: number;
  readonly cpuSvn: Uint8Array;
  readonly pceId: Uint8Array;
  readonly fmspc: Uint8Array;
}

/** A SEQUENCE of { OID, value } pairs as a map; no OID twice. */
function readPairs(sequence: DerValue, what: string): Map<string, DerValue> {
  const pairs = new Map<string, DerValue>();
  const reader = new DerReader(sequence.content);
  while (!reader.done) {
    const pair = new DerReader(reader.expect(TAG.sequence, what).content);
    const oid = oidText(pair.next(), what);
    if (pairs.has(oid)) throw derError(`${what} has ${oid} twice`);
    pairs.set(oid, pair.next());
    pair.end(what);
  }
  return pairs;
}

/**
 * Reads the SGX extension of a PCK certificate.
 *
 * @throws CocosError EVIDENCE_INVALID when it or one of its parts is missing.
 */
export function parsePckExtensions(certificate: Certificate): PckExtensions {
  const extension = certificate.extensions.find(({ oid }) => oid === ARC);
  if (extension === undefined) throw derError('the PCK certificate has no SGX extension');
  const parts = readPairs(readOnly(extension.value, TAG.sequence, 'SGX extension'), 'SGX extension');
  const octets = (from: ReadonlyMap<string, DerValue>, oid: string, size: number): Uint8Array => {
    const value = from.get(oid);
    if (value?.tag !== TAG.octetString || value.content.length !== size) {
      throw derError(`SGX extension: ${oid} is not ${size} bytes`);
    }
    return value.content;
  };
  const tcbValue = parts.get(TCB);
  if (tcbValue?.tag !== TAG.sequence) throw derError('SGX extension: no TCB');
  const tcb = readPairs(tcbValue, 'SGX TCB');
  const svn = (oid: string, limit: number): number => {
    const value = tcb.get(oid);
    if (value === undefined) throw derError(`SGX TCB: ${oid} is missing`);
    const number = smallInteger(value, oid);
    if (number > limit) throw derError(`SGX TCB: ${oid} is too large`);
    return number;
  };
  return {
    ppid: octets(parts, PPID, 16),
    components: Array.from({ length: COMPONENTS }, (_, index) => svn(`${TCB}.${index + 1}`, 0xff)),
    pceSvn: svn(`${TCB}.17`, 0xffff),
    cpuSvn: octets(tcb, `${TCB}.18`, 16),
    pceId: octets(parts, PCE_ID, 2),
    fmspc: octets(parts, FMSPC, 6),
  };
}
