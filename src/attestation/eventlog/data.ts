import { bytesToHex } from '@noble/hashes/utils.js';
import type { AttestationCrypto, HashName } from '../../crypto/crypto-port.ts';
import { hashOf } from './algorithms.ts';
import type { EventLog, LogEvent } from './parse.ts';
import { EV_EFI_VARIABLE_BOOT, EV_NO_ACTION, HASHED_WHOLE } from './types.ts';

/**
 * Whether the data of an event is authentic. A replay proves digests. The data beside a digest is unproven unless the
 * specification defines the digest as that of the data.
 */

/** `defined`: the digest is of the data. `mismatch`: it should be, but is not. `hint`: it is the digest of something else. */
export type DataState = 'defined' | 'mismatch' | 'hint';

const VARIABLE_HEADER_BYTES = 32;

/** Data of a UEFI variable in UEFI_VARIABLE_DATA: after a GUID, two lengths and the name; null if they do not add up. */
function variableData(data: Uint8Array): Uint8Array | null {
  if (data.length < VARIABLE_HEADER_BYTES) return null;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const nameBytes = view.getBigUint64(16, true) * 2n;
  const dataBytes = view.getBigUint64(24, true);
  if (BigInt(VARIABLE_HEADER_BYTES) + nameBytes + dataBytes !== BigInt(data.length)) return null;
  return data.subarray(VARIABLE_HEADER_BYTES + Number(nameBytes));
}

function matches(
  event: LogEvent,
  bytes: Uint8Array | null,
  bank: HashName,
  crypto: AttestationCrypto,
): boolean {
  const digest = event.digests.get(bank);
  return (
    digest !== undefined && bytes !== null && bytesToHex(hashOf(bank, bytes, crypto)) === bytesToHex(digest)
  );
}

/** Compares the data of an event with its digest in one bank. */
export function dataState(event: LogEvent, bank: HashName, crypto: AttestationCrypto): DataState {
  if (event.type === EV_NO_ACTION) return 'hint';
  if (event.type === EV_EFI_VARIABLE_BOOT) {
    // The specification hashes only the data of the variable; older firmware hashes the complete structure.
    const own =
      matches(event, variableData(event.data), bank, crypto) || matches(event, event.data, bank, crypto);
    return own ? 'defined' : 'mismatch';
  }
  if (!HASHED_WHOLE.has(event.type)) return 'hint';
  return matches(event, event.data, bank, crypto) ? 'defined' : 'mismatch';
}

/** Events whose data does not match its digest. */
export function mismatchedEvents(log: EventLog, bank: HashName, crypto: AttestationCrypto): LogEvent[] {
  return log.events.filter((event) => dataState(event, bank, crypto) === 'mismatch');
}
