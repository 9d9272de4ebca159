import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compileFlat } from '../../eos/acpi-fence/compile.ts';
import { unpackPackages } from '../../eos/unpack.ts';
import { ensurePinnedPackages } from '../../setup/pinned-packages.mjs';

const SOURCE = fileURLToPath(new URL('./republisher.c', import.meta.url));
/** Where QEMU puts the kernel image; firmware allocates from the end of memory, and has its own below 32 MiB. */
const KERNEL = 0x400_0000;
/** File and memory alignment of an EFI program's sections. */
const ALIGNMENT = 0x1000;
const PE_OFFSET = 0x40;
const OPTIONAL_BYTES = 0xf0;

/**
 * Arguments of QEMU for a guest whose firmware publishes the host's ACPI tables again at the end of the boot services.
 *
 * @param kernel the kernel image that this firmware starts
 * @param folder an existing one, for files
 */
export function republisher(kernel: string, folder: string): string[] {
  const packages = unpackPackages(
    ensurePinnedPackages({ log: () => undefined, uses: ['tool', 'guest'] }).packages,
    join(folder, 'compiler'),
  );
  const symbols = { BASE: 0, KERNEL, KERNEL_BYTES: statSync(kernel).size };
  const program = join(folder, 'republisher.efi');
  writeFileSync(program, efiProgram(compileFlat(packages, folder, SOURCE, 64, symbols)));
  const image = `loader,file=${kernel},addr=0x${KERNEL.toString(16)},force-raw=on`;
  return ['-kernel', program, '-device', image];
}

/** The PE32+ file of code that begins with its entry point (PE format, Microsoft; UEFI specification 2.10, 2.1.1). */
function efiProgram(code: Uint8Array): Buffer {
  const size = Math.ceil(code.length / ALIGNMENT) * ALIGNMENT;
  const file = Buffer.alloc(ALIGNMENT + size);
  file.write('MZ', 0, 'latin1');
  file.writeUInt32LE(PE_OFFSET, 0x3c);
  file.write('PE\0\0', PE_OFFSET, 'latin1');
  const coff = PE_OFFSET + 4;
  file.writeUInt16LE(0x8664, coff); // x86-64
  file.writeUInt16LE(1, coff + 2); // sections
  file.writeUInt16LE(OPTIONAL_BYTES, coff + 16);
  file.writeUInt16LE(0x0222, coff + 18); // executable, large addresses, no debug information
  const optional = coff + 20;
  file.writeUInt16LE(0x20b, optional); // PE32+
  file.writeUInt32LE(size, optional + 4); // SizeOfCode
  file.writeUInt32LE(ALIGNMENT, optional + 16); // AddressOfEntryPoint
  file.writeUInt32LE(ALIGNMENT, optional + 20); // BaseOfCode
  file.writeUInt32LE(ALIGNMENT, optional + 32); // SectionAlignment
  file.writeUInt32LE(ALIGNMENT, optional + 36); // FileAlignment
  file.writeUInt32LE(ALIGNMENT + size, optional + 56); // SizeOfImage
  file.writeUInt32LE(ALIGNMENT, optional + 60); // SizeOfHeaders
  file.writeUInt16LE(10, optional + 68); // EFI application
  file.writeUInt32LE(16, optional + 108); // NumberOfRvaAndSizes
  const section = optional + OPTIONAL_BYTES;
  file.write('.text', section, 'latin1');
  for (const at of [8, 12, 16, 20])
    file.writeUInt32LE(at === 8 || at === 16 ? size : ALIGNMENT, section + at);
  file.writeUInt32LE(0x6000_0020, section + 36); // code, executable, readable
  file.set(code, ALIGNMENT);
  return file;
}
