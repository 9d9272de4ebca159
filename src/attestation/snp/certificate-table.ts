import { bytesToHex } from '@noble/hashes/utils.js';
import { CocosError } from '../../errors.ts';
import { isZero } from '../encoding/bytes.ts';
import { certificateDers, looksLikePem } from '../x509/pem.ts';

/**
 * The certificate table that a host hands to its guest with a report (GHCB specification, SNP extended guest request;
 * `auxblob` of configfs-tsm): 24-byte entries of GUID, offset and length, ended by a zero entry, then the data.
 */

const ENTRY_BYTES = 24;
/** A table without entries: its end marker. */
export const LEAST_TABLE_BYTES = ENTRY_BYTES;
const MAX_TABLE_BYTES = 1024 * 1024;
const MAX_ENTRIES = 32;

/** GUIDs whose data is a DER certificate; their bytes are in text order. */
const CERTIFICATE_GUIDS: ReadonlySet<string> = new Set([
  '63da758de6644564adc5f4b93be8accd', // VCEK
  'a8074bc2a25a483eaae639c045a0b8a1', // VLEK
  '4ab7b379bbac4fe4a02f05aef327c782', // ASK or ASVK
  'c0b406a4a803495297433fb6014cd0ae', // ARK
]);

const invalid = (sentence: string): CocosError =>
  new CocosError('EVIDENCE_INVALID', `certificate table: ${sentence}`, {
    details: { check: 'report.certificate-table' },
  });

/** The specification has DER; some hosts store PEM. */
function certificatesOf(data: Uint8Array): Uint8Array[] {
  if (!looksLikePem(data)) return [data];
  try {
    return certificateDers(data);
  } catch (cause) {
    throw invalid(`an entry is PEM that cannot be read: ${CocosError.from(cause).message}`);
  }
}

/**
 * The certificates in a table as DER, in its order. Other entries are omitted. An empty table has none.
 *
 * @throws CocosError EVIDENCE_INVALID if entries exceed the table or overlap, if the end marker is missing, or if bytes
 * outside all entries are not zero
 */
export function parseCertificateTable(table: Uint8Array): Uint8Array[] {
  if (table.length === 0) return [];
  if (table.length > MAX_TABLE_BYTES) throw invalid('larger than 1 MiB');
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  const entries: { guid: string; start: number; end: number }[] = [];
  let at = 0;
  for (;;) {
    if (at + ENTRY_BYTES > table.length || entries.length > MAX_ENTRIES) throw invalid('no end marker');
    const entry = table.subarray(at, at + ENTRY_BYTES);
    at += ENTRY_BYTES;
    if (entry.every((byte) => byte === 0)) break;
    const start = view.getUint32(at - 8, true);
    entries.push({
      guid: bytesToHex(entry.subarray(0, 16)),
      start,
      end: start + view.getUint32(at - 4, true),
    });
  }
  // A host lists a certificate that it does not have with length 0; its offset means nothing.
  const filled = entries.filter(({ start, end }) => end > start);
  const sorted = filled.toSorted((a, b) => a.start - b.start);
  let free = at;
  for (const { start, end } of [...sorted, { start: table.length, end: table.length }]) {
    if (start < free || end > table.length) throw invalid('an entry overlaps another or leaves the table');
    // Bytes outside all entries must be padding; otherwise they could carry arbitrary data.
    if (!isZero(table.subarray(free, start)))
      throw invalid('there is data other than padding between entries');
    free = end;
  }
  return filled
    .filter(({ guid }) => CERTIFICATE_GUIDS.has(guid))
    .flatMap(({ start, end }) => certificatesOf(Uint8Array.from(table.subarray(start, end))));
}
