import { parsePe } from '../../src/attestation/measure/pe.ts';

/**
 * A unified kernel image (UAPI Group Specification "Unified Kernel Image"): systemd's stub with kernel, initrd and
 * command line as sections of one EFI program. There is no `.osrel`: the stub would hand it to the kernel as a second
 * initrd, and then the kernel measures another initrd than the one in the image.
 */

export interface UkiParts {
  readonly stub: Uint8Array;
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array;
  readonly commandLine: string;
}

const SECTION_BYTES = 40;
/** IMAGE_SCN_CNT_INITIALIZED_DATA and IMAGE_SCN_MEM_READ. */
const DATA_READ = 0x4000_0040;

/** The image; the same parts give the same bytes. */
export function buildUki(parts: UkiParts): Buffer {
  const sections: [name: string, bytes: Uint8Array][] = [
    ['.cmdline', Buffer.from(parts.commandLine)],
    ['.initrd', parts.initrd],
    // Last, since the stub may use memory behind it.
    ['.linux', parts.kernel],
  ];
  return addSections(parts.stub, sections);
}

function addSections(stub: Uint8Array, added: readonly [name: string, bytes: Uint8Array][]): Buffer {
  const pe = parsePe(stub);
  const up = (value: number, to: number): number => Math.ceil(value / to) * to;
  const table = pe.sectionTable + pe.sections.length * SECTION_BYTES;
  const firstRaw = Math.min(...pe.sections.map((each) => each.rawOffset));
  if (table + added.length * SECTION_BYTES > Math.min(pe.headersSize, firstRaw)) {
    throw new Error('the stub has no room for the headers of its sections');
  }
  const headers = Buffer.from(stub);
  const bodies: Buffer[] = [];
  let address = Math.max(...pe.sections.map((each) => each.virtualAddress + each.virtualSize));
  let offset = up(stub.length, pe.fileAlignment);
  bodies.push(Buffer.alloc(offset - stub.length));
  for (const [index, [name, bytes]] of added.entries()) {
    address = up(address, pe.sectionAlignment);
    const rawSize = up(bytes.length, pe.fileAlignment);
    const at = table + index * SECTION_BYTES;
    headers.fill(0, at, at + SECTION_BYTES);
    headers.write(name, at, 8, 'latin1');
    headers.writeUInt32LE(bytes.length, at + 8);
    headers.writeUInt32LE(address, at + 12);
    headers.writeUInt32LE(rawSize, at + 16);
    headers.writeUInt32LE(offset, at + 20);
    headers.writeUInt32LE(DATA_READ, at + 36);
    bodies.push(Buffer.from(bytes), Buffer.alloc(rawSize - bytes.length));
    address += bytes.length;
    offset += rawSize;
  }
  headers.writeUInt16LE(pe.sections.length + added.length, pe.optionalHeader - 18);
  headers.writeUInt32LE(up(address, pe.sectionAlignment), pe.optionalHeader + 56);
  return Buffer.concat([headers, ...bodies]);
}
