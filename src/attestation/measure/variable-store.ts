import { CocosError } from '../../errors.ts';
import { BinaryReader } from '../encoding/binary-reader.ts';
import { guidText } from './guid.ts';
import type { Variable } from './uefi-variables.ts';

/** Reads the variable store of OVMF: EDK II's authenticated variables in a firmware volume. */

const STORE_GUID = 'aaf32c78-947b-439a-a180-2e144ec37792';
const VOLUME_HEADER_BYTES = 0x48;
const STORE_HEADER_BYTES = 28;
const START_ID = 0x55aa;
/** State of a variable that was written completely and not deleted. */
const ADDED = 0x3f;

/** The valid variables. @throws CocosError MEASURE_UNSUPPORTED */
export function readVariables(bytes: Uint8Array): Variable[] {
  try {
    return read(bytes);
  } catch (cause) {
    throw new CocosError('MEASURE_UNSUPPORTED', 'Cannot parse the firmware variables.', { cause });
  }
}

function read(bytes: Uint8Array): Variable[] {
  const header = new BinaryReader(bytes, 'variable store', 'little');
  header.bytes(VOLUME_HEADER_BYTES, 'volume header');
  if (guidText(header.bytes(16, 'kind')) !== STORE_GUID) throw header.error('is of another kind');
  const size = header.u32('size');
  const store = bytes.subarray(VOLUME_HEADER_BYTES, VOLUME_HEADER_BYTES + size);
  const reader = new BinaryReader(store, 'variable store', 'little');
  reader.bytes(STORE_HEADER_BYTES, 'store header');
  const variables: Variable[] = [];
  while (reader.left > 60 && reader.u16('start') === START_ID) {
    const state = reader.u8('state');
    reader.bytes(33, 'attributes, count, time and key');
    const nameSize = reader.u32('size of the name');
    const dataSize = reader.u32('size of the data');
    const vendor = guidText(reader.bytes(16, 'vendor'));
    const encoded = reader.bytes(nameSize, 'name');
    const data = reader.bytes(dataSize, 'data');
    reader.bytes(-reader.offset & 3, 'padding');
    const units = Array.from(
      { length: nameSize / 2 },
      (_, i) => (encoded[2 * i] ?? 0) | ((encoded[2 * i + 1] ?? 0) << 8),
    );
    const name = String.fromCharCode(...units).replace(/\0$/, '');
    if (state === ADDED) variables.push({ name, vendor, data });
  }
  return variables;
}
