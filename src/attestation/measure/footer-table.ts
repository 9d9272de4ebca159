import { CocosError } from '../../errors.ts';
import { guidText } from './guid.ts';

/** The table of GUIDed entries at the end of an OVMF image, read backwards from 48 bytes before the end of the file. */

const FOOTER_GUID = '96b582de-1fb2-45f7-baea-a366c55a082d';
/** The reset vector code fills the last 32 bytes; the footer entry is before it. */
const RESET_VECTOR_BYTES = 32;
const ENTRY_TRAILER_BYTES = 18;

export const brokenFirmware = (sentence: string): CocosError =>
  new CocosError('MEASURE_UNSUPPORTED', `firmware: ${sentence}`);

/**
 * Entries of the footer table by GUID; null when the image has no such table.
 *
 * @throws CocosError MEASURE_UNSUPPORTED when there is a table but it is damaged
 */
export function footerEntries(image: Uint8Array): Map<string, Uint8Array> | null {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const trailer = image.length - RESET_VECTOR_BYTES - ENTRY_TRAILER_BYTES;
  if (trailer < 0 || guidText(image.subarray(trailer + 2, trailer + 18)) !== FOOTER_GUID) return null;
  const start = trailer + ENTRY_TRAILER_BYTES - view.getUint16(trailer, true);
  if (start < 0 || start > trailer) throw brokenFirmware('the footer table is larger than the image');
  const entries = new Map<string, Uint8Array>();
  let end = trailer;
  while (end > start) {
    const entryTrailer = end - ENTRY_TRAILER_BYTES;
    if (entryTrailer < start) throw brokenFirmware('a footer entry is truncated');
    const size = view.getUint16(entryTrailer, true);
    const entryStart = end - size;
    if (size < ENTRY_TRAILER_BYTES || entryStart < start)
      throw brokenFirmware('a footer entry has an invalid size');
    entries.set(guidText(image.subarray(entryTrailer + 2, end)), image.subarray(entryStart, entryTrailer));
    end = entryStart;
  }
  return entries;
}

/** The u32 at the start of an entry. @throws CocosError MEASURE_UNSUPPORTED when it is not there */
export function footerNumber(entry: Uint8Array | undefined, what: string): number {
  if (entry === undefined || entry.length < 4) throw brokenFirmware(`${what} is missing`);
  return new DataView(entry.buffer, entry.byteOffset, entry.byteLength).getUint32(0, true);
}
