import { CocosError } from '../../errors.ts';
import { guidText } from './guid.ts';
import { PAGE_BYTES } from './page.ts';

/**
 * SEV metadata at the end of an OVMF image: the footer table of GUIDed entries, read backwards from 48 bytes before
 * the end of the file, and the list of memory sections that it points to.
 */

const FOOTER_GUID = '96b582de-1fb2-45f7-baea-a366c55a082d';
const RESET_BLOCK_GUID = '00f771de-1a7e-4fcb-890e-68c77e2fb44e';
const HASH_TABLE_GUID = '7255371f-3a3b-4b04-927b-1da6efa8d454';
/** Of an SVSM image: where the vCPUs start in it. */
const SVSM_INFO_GUID = 'a789a612-0597-4c4b-a49f-cbb1fe9d1ddd';
const METADATA_GUID = 'dc886566-984a-4798-a75e-5585a7bf67cc';
/** The reset vector code fills the last 32 bytes; the footer entry lies before it. */
const RESET_VECTOR_BYTES = 32;
const ENTRY_TRAILER_BYTES = 18;
const METADATA_SIGNATURE = 'ASEV';
const METADATA_HEADER_BYTES = 16;
const METADATA_ENTRY_BYTES = 12;
const MAX_SECTIONS = 64;
const MAX_SECTION_BYTES = 0x1000_0000;

export type OvmfSectionType = 'sec-mem' | 'secrets' | 'cpuid' | 'svsm-caa' | 'kernel-hashes';

const SECTION_TYPES: Readonly<Record<number, OvmfSectionType>> = {
  1: 'sec-mem',
  2: 'secrets',
  3: 'cpuid',
  4: 'svsm-caa',
  16: 'kernel-hashes',
};

export interface OvmfSection {
  readonly gpa: number;
  readonly size: number;
  readonly type: OvmfSectionType;
}

export interface OvmfMetadata {
  /** EIP at which the other vCPUs start; 0 where the image, an SVSM, has no reset block. */
  readonly apEip: number;
  /** Offset in the image at which the vCPUs of an SVSM start; null for other firmware. */
  readonly svsmEntry: number | null;
  /** GPA of the kernel hashes table; 0 or missing in the image means that it cannot take one: null. */
  readonly hashesTable: number | null;
  /** In the order of the image, which is the order of measurement. */
  readonly sections: readonly OvmfSection[];
}

const broken = (sentence: string): CocosError =>
  new CocosError('MEASURE_UNSUPPORTED', `firmware: ${sentence}`);

/** Entries of the footer table by GUID; null when the image has no such table. */
function footerEntries(image: Uint8Array, view: DataView): Map<string, Uint8Array> | null {
  const trailer = image.length - RESET_VECTOR_BYTES - ENTRY_TRAILER_BYTES;
  if (trailer < 0 || guidText(image.subarray(trailer + 2, trailer + 18)) !== FOOTER_GUID) return null;
  const start = trailer + ENTRY_TRAILER_BYTES - view.getUint16(trailer, true);
  if (start < 0 || start > trailer) throw broken('the footer table is larger than the image');
  const entries = new Map<string, Uint8Array>();
  let end = trailer;
  while (end > start) {
    const entryTrailer = end - ENTRY_TRAILER_BYTES;
    if (entryTrailer < start) throw broken('a footer entry is cut off');
    const size = view.getUint16(entryTrailer, true);
    const entryStart = end - size;
    if (size < ENTRY_TRAILER_BYTES || entryStart < start) throw broken('a footer entry has a wrong size');
    entries.set(guidText(image.subarray(entryTrailer + 2, end)), image.subarray(entryStart, entryTrailer));
    end = entryStart;
  }
  return entries;
}

function u32(entry: Uint8Array | undefined, what: string): number {
  if (entry === undefined || entry.length < 4) throw broken(`${what} is missing`);
  return new DataView(entry.buffer, entry.byteOffset, entry.byteLength).getUint32(0, true);
}

function readSections(image: Uint8Array, view: DataView, offsetFromEnd: number): OvmfSection[] {
  const at = image.length - offsetFromEnd;
  if (at < 0 || at + METADATA_HEADER_BYTES > image.length)
    throw broken('the metadata lies outside the image');
  const signature = String.fromCharCode(...image.subarray(at, at + 4));
  if (signature !== METADATA_SIGNATURE) throw broken('the metadata has no signature');
  if (view.getUint32(at + 8, true) !== 1) throw broken('the metadata has an unknown version');
  const count = view.getUint32(at + 12, true);
  const size = view.getUint32(at + 4, true);
  if (count > MAX_SECTIONS || size < METADATA_HEADER_BYTES + count * METADATA_ENTRY_BYTES) {
    throw broken('the metadata has a wrong number of sections');
  }
  if (at + size > image.length) throw broken('the metadata is cut off');
  return Array.from({ length: count }, (_, index) => {
    const entry = at + METADATA_HEADER_BYTES + index * METADATA_ENTRY_BYTES;
    const type = SECTION_TYPES[view.getUint32(entry + 8, true)];
    const section = { gpa: view.getUint32(entry, true), size: view.getUint32(entry + 4, true) };
    if (type === undefined) throw broken('a section has an unknown type');
    const aligned = section.gpa % PAGE_BYTES === 0 && section.size % PAGE_BYTES === 0;
    if (!aligned || section.size === 0 || section.size > MAX_SECTION_BYTES) {
      throw broken('a section is not a range of pages');
    }
    return { ...section, type };
  });
}

/**
 * Reads the SEV metadata of a firmware image.
 *
 * @returns null for firmware without any (for example SeaBIOS).
 * @throws CocosError MEASURE_UNSUPPORTED when there is metadata but it is damaged.
 */
export function readOvmfMetadata(image: Uint8Array): OvmfMetadata | null {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const entries = footerEntries(image, view);
  const metadata = entries?.get(METADATA_GUID);
  if (entries === null || metadata === undefined) return null;
  const table = entries.get(HASH_TABLE_GUID);
  const hashesTable = table === undefined ? 0 : u32(table, 'hash table');
  const svsm = entries.get(SVSM_INFO_GUID);
  return {
    apEip: svsm === undefined ? u32(entries.get(RESET_BLOCK_GUID), 'reset block') : 0,
    svsmEntry: svsm === undefined ? null : u32(svsm, 'SVSM information'),
    hashesTable: hashesTable === 0 ? null : hashesTable,
    sections: readSections(image, view, u32(metadata, 'metadata offset')),
  };
}
