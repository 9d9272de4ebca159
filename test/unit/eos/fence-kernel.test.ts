import { describe, expect, it } from 'vitest';
import { fenceKernel, type KernelPlaces } from '../../../eos/acpi-fence/fence-kernel.ts';

/**
 * Offsets from the Linux x86 boot protocol (Documentation/arch/x86/boot.rst) and the PE format, of a small image with
 * the layout of a kernel: a setup of 4 KiB, which is also its first sections, and 4 KiB of code.
 */

const SETUP_BYTES = 0x1000;
const CODE_BYTES = 0x1000;
const PE_AT = 0x40;
const OPTIONAL = PE_AT + 24;
const TABLE = OPTIONAL + 160;
const OLD_ENTRY = 0x2080;
const FENCE = Buffer.from('the fence, with its entry for a BIOS at 10 and its guard at 20');

interface Section {
  readonly name: string;
  readonly address: number;
  readonly size: number;
}

function kernel({ isSigned = false, first = 'fcfa31c08ed8' } = {}): Buffer {
  const image = Buffer.alloc(SETUP_BYTES + CODE_BYTES);
  image.write('MZ');
  image.writeUInt32LE(PE_AT, 0x3c);
  image.write('PE', PE_AT);
  const sections: Section[] = [
    { name: '.setup', address: 0x800, size: 0x400 },
    { name: '.compat', address: 0xc00, size: 0x400 },
    { name: '.text', address: 0x1000, size: CODE_BYTES },
  ];
  image.writeUInt16LE(sections.length, PE_AT + 6);
  image.writeUInt16LE(TABLE - OPTIONAL, PE_AT + 20);
  image.writeUInt16LE(0x20b, OPTIONAL);
  image.writeUInt32LE(OLD_ENTRY, OPTIONAL + 16);
  image.writeUInt32LE(0x1000, OPTIONAL + 32);
  image.writeUInt32LE(0x200, OPTIONAL + 36);
  image.writeUInt32LE(0x2000, OPTIONAL + 56);
  image.writeUInt32LE(0x800, OPTIONAL + 60);
  for (const [index, { name, address, size }] of sections.entries()) {
    const at = TABLE + 40 * index;
    image.write(name, at);
    for (const [field, value] of [size, address, size, address].entries()) {
      image.writeUInt32LE(value, at + 8 + 4 * field);
    }
  }
  image.writeUInt8(SETUP_BYTES / 512 - 1, 0x1f1); // setup_sects
  image.writeUInt32LE(CODE_BYTES / 16, 0x1f4); // syssize
  image.write('HdrS', 0x202);
  image.writeUInt32LE(0x10_0000, 0x214); // code32_start
  image.writeUInt16LE(0x7f, 0x236); // xloadflags
  image.writeUInt32LE(0x190, 0x264); // handover_offset
  Buffer.from(first, 'hex').copy(image, SETUP_BYTES + 0x200);
  if (!isSigned) return image;
  image.writeUInt32LE(image.length, OPTIONAL + 112 + 32);
  image.writeUInt32LE(16, OPTIONAL + 112 + 36);
  return Buffer.concat([image, Buffer.alloc(16, 0xee)]);
}

function fenced(options: Parameters<typeof kernel>[0] = {}): {
  image: Buffer;
  places: KernelPlaces | undefined;
} {
  let places: KernelPlaces | undefined;
  const image = fenceKernel(kernel(options), (given) => {
    places = given;
    return { bytes: FENCE, bios: 10, guard: 20 };
  });
  return { image, places };
}

describe('fenceKernel', () => {
  it('makes the fence the EFI entry point, in a section of code that is not writable', () => {
    const { image, places } = fenced();
    const count = image.readUInt16LE(PE_AT + 6);
    const at = TABLE + 40 * (count - 1);
    const [size, address, rawSize, rawOffset] = [8, 12, 16, 20].map((field) =>
      image.readUInt32LE(at + field),
    );
    expect(image.toString('latin1', at, at + 6)).toBe('.fence');
    expect(image.readUInt32LE(OPTIONAL + 16)).toBe(address);
    expect(image.readUInt32LE(at + 36)).toBe(0x6000_0020);
    expect(image.subarray(rawOffset).subarray(0, FENCE.length)).toEqual(FENCE);
    expect(image.length).toBe((rawOffset ?? 0) + (rawSize ?? 0));
    expect(image.readUInt32LE(OPTIONAL + 56)).toBe((address ?? 0) + (size ?? 0));
    expect(places?.efiDistance).toBe((address ?? 0) - OLD_ENTRY);
  });

  it('makes the fence the 32-bit entry, at the address where a loader puts it', () => {
    const { image, places } = fenced();
    const loaded = (address: number): number => address - 0x10_0000 + SETUP_BYTES;
    expect(image.subarray(loaded(places?.base ?? 0)).subarray(0, FENCE.length)).toEqual(FENCE);
    expect(image.readUInt32LE(0x214)).toBe((places?.base ?? 0) + 10);
    expect(places?.entry32).toBe(0x10_0000);
    // All of it is loaded: syssize counts paragraphs of 16 bytes behind the setup.
    expect(SETUP_BYTES + 16 * image.readUInt32LE(0x1f4)).toBe(image.length);
  });

  it('makes the 64-bit entry jump to the guard', () => {
    const { image, places } = fenced();
    const entry = SETUP_BYTES + 0x200;
    expect(image.readUInt8(entry)).toBe(0xe9);
    const target = entry + 5 + image.readInt32LE(entry + 1);
    expect(target).toBe((places?.base ?? 0) - 0x10_0000 + SETUP_BYTES + 20);
    expect(places?.rest64).toBe(0x10_0000 + 0x206);
  });

  it('leaves no other entry: neither the EFI handover nor that of 32-bit UEFI firmware', () => {
    const { image } = fenced();
    expect(image.readUInt16LE(0x236)).toBe(0x73);
    expect(image.readUInt32LE(0x264)).toBe(0);
    const names = Array.from({ length: image.readUInt16LE(PE_AT + 6) }, (_, index) =>
      image.toString('latin1', TABLE + 40 * index, TABLE + 40 * index + 8).replace(/\0+$/, ''),
    );
    expect(names).toEqual(['.setup', '.text', '.fence']);
  });

  it('removes a signature, which is of the bytes before', () => {
    const { image } = fenced({ isSigned: true });
    expect(image).toEqual(fenced().image);
    expect(image.readUInt32LE(OPTIONAL + 112 + 36)).toBe(0);
  });

  it('refuses a kernel whose 64-bit entry it does not know', () => {
    expect(() => fenced({ first: 'fcfa31c08ec0' })).toThrow('64-bit entry');
  });
});
