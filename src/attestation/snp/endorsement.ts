import { CocosError } from '../../errors.ts';
import type { Certificate } from '../x509/certificate.ts';
import { readOnly, smallInteger, TAG } from '../x509/der.ts';
import type { Tcb } from './tcb.ts';

/**
 * AMD's statements in an endorsement certificate about the key that signs reports: the extensions of a VCEK (of one
 * chip at one TCB) or VLEK (of one cloud provider at one TCB), AMD 57230.
 */

const ARC = '1.3.6.1.4.1.3704.1';

/** Object identifiers of AMD's certificate extensions. */
export const AMD_OID = {
  structVersion: `${ARC}.1`,
  productName: `${ARC}.2`,
  bootloader: `${ARC}.3.1`,
  tee: `${ARC}.3.2`,
  snp: `${ARC}.3.3`,
  spl4: `${ARC}.3.4`,
  spl5: `${ARC}.3.5`,
  spl6: `${ARC}.3.6`,
  spl7: `${ARC}.3.7`,
  microcode: `${ARC}.3.8`,
  fmc: `${ARC}.3.9`,
  hardwareId: `${ARC}.4`,
  providerId: `${ARC}.5`,
} as const;

export interface Endorsement {
  readonly kind: 'vcek' | 'vlek';
  readonly structVersion: number;
  readonly productName: string;
  readonly tcb: Tcb;
  /** VCEK: 64 bytes, 8 on Turin. */
  readonly hardwareId: Uint8Array | null;
  /** VLEK: the cloud provider. */
  readonly providerId: string | null;
}

const invalid = (sentence: string): CocosError =>
  new CocosError('EVIDENCE_INVALID', `endorsement certificate: ${sentence}`);

/** Every known certificate contains the raw hardware id, but an OCTET STRING encoding exists; the length decides. */
function unwrapHardwareId(value: Uint8Array): Uint8Array {
  if (value.length === 8 || value.length === 64) return value;
  const inner = readOnly(value, TAG.octetString, 'hwID').content;
  if (inner.length !== 8 && inner.length !== 64) throw invalid('hwID has an invalid length');
  return inner;
}

/**
 * Reads AMD's extensions. A missing patch level is an error: absence must not count as zero.
 *
 * @throws CocosError EVIDENCE_INVALID
 */
export function parseEndorsement(certificate: Certificate): Endorsement {
  const value = (oid: string): Uint8Array | undefined =>
    certificate.extensions.find((extension) => extension.oid === oid)?.value;
  const level = (name: keyof typeof AMD_OID): number | undefined => {
    const bytes = value(AMD_OID[name]);
    if (bytes === undefined) return undefined;
    const number = smallInteger(readOnly(bytes, TAG.integer, name), name);
    if (number > 255) throw invalid(`${name} exceeds one byte`);
    return number;
  };
  const required = (name: keyof typeof AMD_OID): number => {
    const number = level(name);
    if (number === undefined) throw invalid(`${name} is missing`);
    return number;
  };
  const text = (oid: string): string | null => {
    const bytes = value(oid);
    if (bytes === undefined) return null;
    return String.fromCharCode(...readOnly(bytes, TAG.ia5String, oid).content.subarray(0, 256));
  };

  const commonName = certificate.subject.commonName;
  const kind = commonName === 'SEV-VCEK' ? 'vcek' : commonName === 'SEV-VLEK' ? 'vlek' : null;
  if (kind === null) throw invalid('the subject is neither SEV-VCEK nor SEV-VLEK');
  for (const name of ['spl4', 'spl5', 'spl6', 'spl7'] as const) {
    if ((level(name) ?? 0) !== 0) throw invalid(`the reserved field ${name} is not zero`);
  }
  const productName = text(AMD_OID.productName);
  if (productName === null) throw invalid('productName is missing');
  const fmc = level('fmc');
  const parts = {
    bootloader: required('bootloader'),
    tee: required('tee'),
    snp: required('snp'),
    microcode: required('microcode'),
  };
  const hardwareId = value(AMD_OID.hardwareId);
  const providerId = text(AMD_OID.providerId);
  if (kind === 'vcek' && (hardwareId === undefined || providerId !== null)) {
    throw invalid('a VCEK must have a hardware id and no provider');
  }
  if (kind === 'vlek' && (hardwareId !== undefined || providerId === null)) {
    throw invalid('a VLEK must have a provider and no hardware id');
  }
  return {
    kind,
    structVersion: required('structVersion'),
    productName,
    tcb: fmc === undefined ? parts : { fmc, ...parts },
    hardwareId: hardwareId === undefined ? null : unwrapHardwareId(hardwareId),
    providerId,
  };
}
