/** Size of the ELF header of a 64-bit file and of one entry of its program header table (ELF-64 Object File Format). */
const PROGRAM_HEADER_BYTES = 56;

/**
 * An executable without what only debuggers read: everything behind its segments, which are all that the kernel and
 * the dynamic loader use, and the table of sections.
 *
 * @param bytes a 64-bit little-endian ELF file
 */
export function stripElf(bytes: Uint8Array): Buffer {
  const elf = Buffer.from(bytes);
  if (elf.readUInt32BE(0) !== 0x7f454c46 || elf[4] !== 2 || elf[5] !== 1) {
    throw new Error('only 64-bit little-endian ELF files can be stripped');
  }
  const table = Number(elf.readBigUInt64LE(32));
  const count = elf.readUInt16LE(56);
  let end = table + count * PROGRAM_HEADER_BYTES;
  for (let index = 0; index < count; index++) {
    const at = table + index * PROGRAM_HEADER_BYTES;
    end = Math.max(end, Number(elf.readBigUInt64LE(at + 8)) + Number(elf.readBigUInt64LE(at + 32)));
  }
  const stripped = elf.subarray(0, end);
  stripped.writeBigUInt64LE(0n, 40);
  stripped.writeUInt16LE(0, 60);
  stripped.writeUInt16LE(0, 62);
  return stripped;
}
