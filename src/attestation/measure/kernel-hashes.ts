import { hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import type { AttestationHashes } from '../../crypto/crypto-port.ts';
import { guidBytes } from './guid.ts';
import { PAGE_BYTES } from './page.ts';

/**
 * The table of kernel hashes that QEMU writes to a measured page for direct boot (`kernel-hashes=on`), in the layout
 * that OVMF reads: a header and three entries, each a GUID, a u16 length and, for entries, a SHA-256 digest.
 */
const TABLE_GUID = guidBytes('9438d606-4f22-4cc9-b479-a793d411fd21');
const COMMAND_LINE_GUID = guidBytes('97d02dd8-bd20-4c94-aa78-e7714d36ab2a');
const INITRD_GUID = guidBytes('44baf731-3a2f-4bd7-9af1-41e29169781d');
const KERNEL_GUID = guidBytes('4de79437-abd2-427f-b835-d5b172d2045b');
const HEADER_BYTES = 18;
const ENTRY_BYTES = 50;
const TABLE_BYTES = HEADER_BYTES + 3 * ENTRY_BYTES;

export interface KernelHashes {
  /** SHA-256 of the kernel file, hex. */
  readonly kernel: string;
  /** SHA-256 of the initrd file, hex; null for none, which is measured like an empty file. */
  readonly initrd: string | null;
  readonly commandLine: string;
}

/** The table is padded to a multiple of 16 bytes. */
const PADDED_BYTES = Math.ceil(TABLE_BYTES / 16) * 16;

/** The table with its padding, 176 bytes: SEV and SEV-ES measure exactly these. */
export function kernelHashesTable(input: KernelHashes, hashes: AttestationHashes): Uint8Array {
  const table = new Uint8Array(PADDED_BYTES);
  const view = new DataView(table.buffer);
  table.set(TABLE_GUID, 0);
  view.setUint16(16, TABLE_BYTES, true);
  const entries: readonly (readonly [Uint8Array, Uint8Array])[] = [
    // The hypervisor passes the command line as a C string, and the terminating NUL is hashed with it.
    [COMMAND_LINE_GUID, hashes.sha256(utf8ToBytes(`${input.commandLine}\0`))],
    [INITRD_GUID, input.initrd === null ? hashes.sha256(new Uint8Array()) : hexToBytes(input.initrd)],
    [KERNEL_GUID, hexToBytes(input.kernel)],
  ];
  entries.forEach(([guid, digest], index) => {
    const at = HEADER_BYTES + index * ENTRY_BYTES;
    table.set(guid, at);
    view.setUint16(at + 16, ENTRY_BYTES, true);
    table.set(digest, at + 18);
  });
  return table;
}

/**
 * The page with the table, otherwise zero.
 *
 * @param tableGpa guest physical address of the table; its low twelve bits place it in the page.
 */
export function kernelHashesPage(
  tableGpa: number,
  input: KernelHashes,
  hashes: AttestationHashes,
): Uint8Array {
  const page = new Uint8Array(PAGE_BYTES);
  page.set(kernelHashesTable(input, hashes), tableGpa & (PAGE_BYTES - 1));
  return page;
}

/** Largest offset in its page at which the table, padded to 16 bytes, still fits. */
export const MAX_TABLE_OFFSET = PAGE_BYTES - PADDED_BYTES;
