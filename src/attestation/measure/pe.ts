import { concatBytes } from '@noble/hashes/utils.js';
import { CocosError } from '../../errors.ts';

/** The measured parts of PE32+ programs, which UEFI starts (Microsoft PE format). */

const DOS_MAGIC = 0x5a4d;
const PE_OFFSET_AT = 0x3c;
const PE_MAGIC = 0x4550;
const PE32_PLUS = 0x20b;
const COFF_BYTES = 24;
const SECTION_BYTES = 40;
/** Index of the certificate table among the data directories, which begin at 112 in the optional header. */
const CERTIFICATE_ENTRY = 112 + 4 * 8;
const MAX_SECTIONS = 96;

export interface PeSection {
  readonly name: string;
  readonly virtualSize: number;
  readonly virtualAddress: number;
  readonly rawSize: number;
  readonly rawOffset: number;
}

export interface PeImage {
  /** Offset of the optional header. */
  readonly optionalHeader: number;
  readonly sectionTable: number;
  readonly headersSize: number;
  readonly sectionAlignment: number;
  readonly fileAlignment: number;
  readonly sections: readonly PeSection[];
  /** Position of its entry in the data directories, and the content of the entry. */
  readonly certificates: { readonly entry: number; readonly offset: number; readonly size: number };
}

function refuse(why: string): CocosError {
  return new CocosError('MEASURE_UNSUPPORTED', `Cannot measure the EFI program: ${why}.`);
}

/** @throws CocosError MEASURE_UNSUPPORTED when it is not a well-formed PE32+ file */
export function parsePe(bytes: Uint8Array): PeImage {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const u16 = (at: number): number => {
    if (at + 2 > bytes.length) throw refuse('it ends inside its headers');
    return view.getUint16(at, true);
  };
  const u32 = (at: number): number => {
    if (at + 4 > bytes.length) throw refuse('it ends inside its headers');
    return view.getUint32(at, true);
  };
  if (u16(0) !== DOS_MAGIC) throw refuse('it has no DOS header');
  const coff = u32(PE_OFFSET_AT);
  if (u32(coff) !== PE_MAGIC) throw refuse('it has no PE header');
  const count = u16(coff + 6);
  const optionalHeader = coff + COFF_BYTES;
  if (u16(optionalHeader) !== PE32_PLUS) throw refuse('it is not a PE32+ file');
  const sectionTable = optionalHeader + u16(coff + 20);
  const headersSize = u32(optionalHeader + 60);
  if (count > MAX_SECTIONS) throw refuse(`it has ${count} sections`);
  if (headersSize > bytes.length || sectionTable + count * SECTION_BYTES > headersSize) {
    throw refuse('its headers are larger than declared');
  }
  const sections = Array.from({ length: count }, (_, index) => {
    const at = sectionTable + index * SECTION_BYTES;
    const name = String.fromCharCode(...bytes.subarray(at, at + 8)).replace(/\0+$/, '');
    const section = {
      name,
      virtualSize: u32(at + 8),
      virtualAddress: u32(at + 12),
      rawSize: u32(at + 16),
      rawOffset: u32(at + 20),
    };
    if (section.rawOffset + section.rawSize > bytes.length) throw refuse(`section ${name} is truncated`);
    return section;
  });
  const entry = optionalHeader + CERTIFICATE_ENTRY;
  const certificates = { entry, offset: u32(entry), size: u32(entry + 4) };
  return {
    optionalHeader,
    sectionTable,
    headersSize,
    sectionAlignment: u32(optionalHeader + 32),
    fileAlignment: u32(optionalHeader + 36),
    sections,
    certificates,
  };
}

/** The bytes of a section in memory, truncated to its virtual size. Null if there is no such section. */
export function peSection(bytes: Uint8Array, name: string): Uint8Array | null {
  const section = parsePe(bytes).sections.find((each) => each.name === name);
  if (section === undefined) return null;
  const size = Math.min(section.rawSize, section.virtualSize);
  return bytes.subarray(section.rawOffset, section.rawOffset + size);
}

/**
 * The Authenticode digest: of the complete file except its checksum, the entry of its certificate table and the table. Secure
 * Boot signs it, and firmware measures it into PCR 4.
 *
 * @throws CocosError MEASURE_UNSUPPORTED
 */
export function authenticodeDigest(bytes: Uint8Array, hash: (data: Uint8Array) => Uint8Array): Uint8Array {
  const pe = parsePe(bytes);
  const checksum = pe.optionalHeader + 64;
  const { entry, size } = pe.certificates;
  const parts = [
    bytes.subarray(0, checksum),
    bytes.subarray(checksum + 4, entry),
    bytes.subarray(entry + 8, pe.headersSize),
  ];
  let hashed = pe.headersSize;
  for (const { rawOffset, rawSize } of [...pe.sections].sort((a, b) => a.rawOffset - b.rawOffset)) {
    parts.push(bytes.subarray(rawOffset, rawOffset + rawSize));
    hashed += rawSize;
  }
  if (size > bytes.length) throw refuse('its certificate table is truncated');
  if (bytes.length - size > hashed) parts.push(bytes.subarray(hashed, bytes.length - size));
  return hash(concatBytes(...parts));
}
