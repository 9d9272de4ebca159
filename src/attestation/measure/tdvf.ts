import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import type { AttestationHashes } from '../../crypto/crypto-port.ts';
import { brokenFirmware as broken, footerEntries, footerNumber } from './footer-table.ts';
import { PAGE_BYTES } from './page.ts';

/**
 * MRTD of a trust domain: the hash of the TDX module while the host builds the TD from a firmware image (Intel TDX
 * module base specification, "TD measurement"; sections by the TDVF metadata of the Intel TDX virtual firmware design
 * guide).
 */

const METADATA_OFFSET_GUID = 'e47a6535-984a-4798-865e-4685a7bf8ec2';
const SIGNATURE = 'TDVF';
const HEADER_BYTES = 16;
const SECTION_BYTES = 32;
const MAX_SECTIONS = 64;
/** Limits the work; TDX firmware has 4 MiB. */
const MAX_PAGES = 0x1_0000;
const CHUNK_BYTES = 256;
const OPERATION_BYTES = 128;
const GPA_OFFSET = 16;
/** Attributes of a section: its contents are measured; its pages are added by the guest, not at launch. */
const EXTEND_MR = 1;
const PAGE_AUG = 2;
/** Type of the section with the firmware variables. */
const VARIABLES = 1;

interface TdvfSection {
  readonly dataOffset: number;
  readonly dataBytes: number;
  readonly gpa: number;
  readonly memoryBytes: number;
  readonly type: number;
  readonly attributes: number;
}

/** Sections in the order of the image; null for firmware that is not for TDX. */
function readSections(image: Uint8Array): TdvfSection[] | null {
  const entry = footerEntries(image)?.get(METADATA_OFFSET_GUID);
  if (entry === undefined) return null;
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const at = image.length - footerNumber(entry, 'TDX metadata offset');
  if (at < 0 || at + HEADER_BYTES > image.length) throw broken('the TDX metadata lies outside the image');
  if (String.fromCharCode(...image.subarray(at, at + 4)) !== SIGNATURE)
    throw broken('the TDX metadata has no signature');
  if (view.getUint32(at + 8, true) !== 1) throw broken('the TDX metadata has an unknown version');
  const count = view.getUint32(at + 12, true);
  if (count > MAX_SECTIONS || at + HEADER_BYTES + count * SECTION_BYTES > image.length)
    throw broken('the TDX metadata has an invalid number of sections');
  return Array.from({ length: count }, (_, index) => {
    const start = at + HEADER_BYTES + index * SECTION_BYTES;
    const section = {
      dataOffset: view.getUint32(start, true),
      dataBytes: view.getUint32(start + 4, true),
      gpa: Number(view.getBigUint64(start + 8, true)),
      memoryBytes: Number(view.getBigUint64(start + 16, true)),
      type: view.getUint32(start + 24, true),
      attributes: view.getUint32(start + 28, true),
    };
    checkSection(section, image.length);
    return section;
  });
}

function checkSection({ dataOffset, dataBytes, gpa, memoryBytes }: TdvfSection, imageBytes: number): void {
  const isPages = gpa % PAGE_BYTES === 0 && memoryBytes % PAGE_BYTES === 0;
  if (!isPages || !Number.isSafeInteger(gpa + memoryBytes))
    throw broken('a TDX section is not a range of pages');
  if (dataOffset + dataBytes > imageBytes) throw broken('a TDX section lies outside the image');
  if (dataBytes > memoryBytes) throw broken('a TDX section is larger than its memory');
}

/** The bytes that the module hashes per operation: its name, and at byte 16 the guest physical address. */
function operation(name: Uint8Array, gpa: number): Uint8Array {
  const block = new Uint8Array(OPERATION_BYTES);
  block.set(name);
  new DataView(block.buffer).setBigUint64(GPA_OFFSET, BigInt(gpa), true);
  return block;
}

const PAGE_ADD = utf8ToBytes('MEM.PAGE.ADD');
const MR_EXTEND = utf8ToBytes('MR.EXTEND');

/**
 * The 48 bytes of MRTD of a TD that Linux and QEMU build from this firmware: in the order of its sections, for each
 * page TDH.MEM.PAGE.ADD and, if the section requests it, TDH.MR.EXTEND of its sixteen chunks.
 *
 * @returns null for firmware without TDX metadata
 * @throws CocosError MEASURE_UNSUPPORTED when the metadata is damaged
 */
export function measureTd(firmware: Uint8Array, hashes: AttestationHashes): Uint8Array | null {
  const sections = readSections(firmware);
  if (sections === null) return null;
  const added = sections.filter(({ attributes }) => (attributes & PAGE_AUG) === 0);
  const pages = added.reduce((sum, { memoryBytes }) => sum + memoryBytes / PAGE_BYTES, 0);
  if (pages > MAX_PAGES) throw broken('the TDX sections have too many pages');
  return hashes.sha384(concatBytes(...added.flatMap((section) => sectionBlocks(section, firmware))));
}

function sectionBlocks(section: TdvfSection, firmware: Uint8Array): Uint8Array[] {
  const { dataOffset, dataBytes, gpa, memoryBytes, attributes } = section;
  const contents = new Uint8Array((attributes & EXTEND_MR) === 0 ? 0 : memoryBytes);
  if (contents.length > 0) contents.set(firmware.subarray(dataOffset, dataOffset + dataBytes));
  const blocks: Uint8Array[] = [];
  for (let page = 0; page < memoryBytes; page += PAGE_BYTES) {
    blocks.push(operation(PAGE_ADD, gpa + page));
    for (let at = page; at < page + PAGE_BYTES && contents.length > 0; at += CHUNK_BYTES) {
      blocks.push(operation(MR_EXTEND, gpa + at), contents.subarray(at, at + CHUNK_BYTES));
    }
  }
  return blocks;
}

/**
 * Replaces the variables in a firmware. This does not change MRTD: variables are measured into RTMR 0.
 *
 * @throws CocosError MEASURE_UNSUPPORTED if the firmware has no variable store of that size
 */
export function withVariables(firmware: Uint8Array, variables: Uint8Array): Uint8Array {
  const section = readSections(firmware)?.find(({ type }) => type === VARIABLES);
  if (section?.dataBytes !== variables.length) throw broken('it has no variable store of that size');
  const image = firmware.slice();
  image.set(variables, section.dataOffset);
  return image;
}
