import { type PeSection, parsePe } from '../../src/attestation/measure/pe.ts';

/** Puts the fence into a kernel image (Linux x86 boot protocol 2.15, and PE32+) and redirects every entry to it. */

/** Where the parts of the kernel will be; addresses are those of a boot without UEFI. */
export interface KernelPlaces {
  /** Of the fence itself. */
  readonly base: number;
  readonly entry32: number;
  /** Behind the instructions that the fence takes the place of. */
  readonly rest64: number;
  /** From the kernel's own EFI entry point to that of the fence, which is at the fence's first byte. */
  readonly efiDistance: number;
}

export interface Fence {
  readonly bytes: Buffer;
  /** Offsets of the entries in the bytes; the EFI entry point is at 0. */
  readonly bios: number;
  readonly guard: number;
}

/** Offsets in the setup header. */
const SETUP = {
  sectors: 0x1f1,
  syssize: 0x1f4,
  signature: 0x202,
  code32Start: 0x214,
  xloadflags: 0x236,
  handover: 0x264,
} as const;
/** XLF_EFI_HANDOVER_32 and _64. */
const HANDOVER_FLAGS = 0x0c;
const LOAD_ADDRESS = 0x10_0000;
const SECTOR = 512;
const PARAGRAPH = 16;
const ENTRY64 = 0x200;
/** cld; cli; xor %eax,%eax; mov %eax,%ds: what the jump to the guard replaces, and the guard does. */
const FIRST_INSTRUCTIONS = Buffer.from('fcfa31c08ed8', 'hex');
const JUMP_BYTES = 5;
const PE = { sectionCount: -18, entryPoint: 16, imageSize: 56, checksum: 64 } as const;
const SECTION_BYTES = 40;
/** IMAGE_SCN_CNT_CODE, IMAGE_SCN_MEM_EXECUTE and IMAGE_SCN_MEM_READ. */
const CODE = 0x6000_0020;
/** The entry point for 32-bit UEFI firmware, which would be a way around. */
const DROPPED_SECTION = '.compat';

/**
 * The kernel with the fence behind it. A signature of the distributor is removed, since it is of other bytes.
 *
 * @param compile makes the fence for the places that this kernel has
 * @throws Error when the kernel is not built as expected
 */
export function fenceKernel(kernel: Uint8Array, compile: (places: KernelPlaces) => Fence): Buffer {
  const pe = parsePe(kernel);
  const { certificates } = pe;
  const end = certificates.size === 0 ? kernel.length : certificates.offset;
  const image = Buffer.from(kernel.subarray(0, end));
  if (image.toString('latin1', SETUP.signature, SETUP.signature + 4) !== 'HdrS') {
    throw new Error('the kernel has no setup header');
  }
  const setupBytes = (image.readUInt8(SETUP.sectors) + 1) * SECTOR;
  const entry64 = setupBytes + ENTRY64;
  if (!image.subarray(entry64).subarray(0, FIRST_INSTRUCTIONS.length).equals(FIRST_INSTRUCTIONS)) {
    throw new Error('the 64-bit entry of the kernel begins with other instructions than the fence knows');
  }
  const up = (value: number, to: number): number => Math.ceil(value / to) * to;
  const offset = up(image.length, pe.sectionAlignment);
  const virtual = up(
    Math.max(...pe.sections.map((each) => each.virtualAddress + each.virtualSize)),
    pe.sectionAlignment,
  );
  const addressOf = (fileOffset: number): number => LOAD_ADDRESS + fileOffset - setupBytes;
  const optional = pe.optionalHeader;
  const fence = compile({
    base: addressOf(offset),
    entry32: image.readUInt32LE(SETUP.code32Start),
    rest64: addressOf(entry64) + FIRST_INSTRUCTIONS.length,
    efiDistance: virtual - image.readUInt32LE(optional + PE.entryPoint),
  });
  const size = up(fence.bytes.length, pe.sectionAlignment);

  const jump = Buffer.alloc(FIRST_INSTRUCTIONS.length, 0x90);
  jump.writeUInt8(0xe9, 0);
  jump.writeInt32LE(offset + fence.guard - (entry64 + JUMP_BYTES), 1);
  jump.copy(image, entry64);
  image.writeUInt32LE(addressOf(offset) + fence.bios, SETUP.code32Start);
  image.writeUInt16LE(image.readUInt16LE(SETUP.xloadflags) & ~HANDOVER_FLAGS, SETUP.xloadflags);
  image.writeUInt32LE(0, SETUP.handover);
  image.writeUInt32LE((offset + size - setupBytes) / PARAGRAPH, SETUP.syssize);

  image.writeUInt32LE(0, certificates.entry);
  image.writeUInt32LE(0, certificates.entry + 4);
  image.writeUInt32LE(virtual, optional + PE.entryPoint);
  image.writeUInt32LE(virtual + size, optional + PE.imageSize);
  image.writeUInt32LE(0, optional + PE.checksum);
  addSection(image, pe, {
    name: '.fence',
    virtualSize: size,
    virtualAddress: virtual,
    rawSize: size,
    rawOffset: offset,
  });
  const padded = Buffer.alloc(size);
  fence.bytes.copy(padded);
  return Buffer.concat([image, Buffer.alloc(offset - image.length), padded]);
}

/** Adds a section of code to the table, in which the dropped one makes room. */
function addSection(image: Buffer, pe: ReturnType<typeof parsePe>, section: PeSection): void {
  const headers = pe.sections
    .map(({ name }, index) => ({ name, at: pe.sectionTable + index * SECTION_BYTES }))
    .filter(({ name }) => name !== DROPPED_SECTION)
    .map(({ at }) => Buffer.from(image.subarray(at, at + SECTION_BYTES)));
  const added = Buffer.alloc(SECTION_BYTES);
  added.write(section.name, 'latin1');
  added.writeUInt32LE(section.virtualSize, 8);
  added.writeUInt32LE(section.virtualAddress, 12);
  added.writeUInt32LE(section.rawSize, 16);
  added.writeUInt32LE(section.rawOffset, 20);
  added.writeUInt32LE(CODE, 36);
  const table = Buffer.concat([...headers, added]);
  // The setup header follows, in the same sector.
  if (pe.sectionTable + table.length > SETUP.sectors) throw new Error('the kernel has no room for a section');
  image.fill(0, pe.sectionTable, pe.sectionTable + pe.sections.length * SECTION_BYTES);
  table.copy(image, pe.sectionTable);
  image.writeUInt16LE(headers.length + 1, pe.optionalHeader + PE.sectionCount);
}
