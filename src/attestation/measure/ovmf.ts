import { brokenFirmware as broken, footerEntries, footerNumber } from './footer-table.ts';
import { PAGE_BYTES } from './page.ts';

/**
 * SEV metadata at the end of an OVMF image: entries of its footer table, and the list of memory sections that one of
 * them points to.
 */

const RESET_BLOCK_GUID = '00f771de-1a7e-4fcb-890e-68c77e2fb44e';
const HASH_TABLE_GUID = '7255371f-3a3b-4b04-927b-1da6efa8d454';
/** Of an SVSM image: the entry point of the vCPUs. */
const SVSM_INFO_GUID = 'a789a612-0597-4c4b-a49f-cbb1fe9d1ddd';
const METADATA_GUID = 'dc886566-984a-4798-a75e-5585a7bf67cc';
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
  /** GPA of the kernel hashes table; null if it is 0 or missing in the image, which then does not support one. */
  readonly hashesTable: number | null;
  /** In the order of the image, which is the order of measurement. */
  readonly sections: readonly OvmfSection[];
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
    throw broken('the metadata has an invalid number of sections');
  }
  if (at + size > image.length) throw broken('the metadata is truncated');
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
  const entries = footerEntries(image);
  const metadata = entries?.get(METADATA_GUID);
  if (entries === null || metadata === undefined) return null;
  const table = entries.get(HASH_TABLE_GUID);
  const hashesTable = table === undefined ? 0 : footerNumber(table, 'hash table');
  const svsm = entries.get(SVSM_INFO_GUID);
  return {
    apEip: svsm === undefined ? footerNumber(entries.get(RESET_BLOCK_GUID), 'reset block') : 0,
    svsmEntry: svsm === undefined ? null : footerNumber(svsm, 'SVSM information'),
    hashesTable: hashesTable === 0 ? null : hashesTable,
    sections: readSections(image, view, footerNumber(metadata, 'metadata offset')),
  };
}
