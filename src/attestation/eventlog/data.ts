import { bytesToHex } from '@noble/hashes/utils.js';
import type { AttestationCrypto, HashName } from '../../crypto/crypto-port.ts';
import { hashOf } from './algorithms.ts';
import type { EventLog, LogEvent } from './log.ts';
import {
  EV_EFI_VARIABLE_AUTHORITY,
  EV_EFI_VARIABLE_BOOT,
  EV_NO_ACTION,
  eventTypeName,
  HASHED_WHOLE,
} from './types.ts';

/**
 * Whether the data of an event is authentic. A replay proves digests. The data beside a digest is unproven unless the
 * specification defines the digest as that of the data.
 */

/**
 * Known deviations of genuine firmware and boot loaders in `EV_EFI_VARIABLE_AUTHORITY`, all of which still cover the
 * certificate. `variable-authority-data`: the digest is that of the variable's data without its header.
 * `variable-authority-padding`: the digest leaves out the bytes that shim's structure has after the variable.
 */
export const EVENT_QUIRKS = ['variable-authority-data', 'variable-authority-padding'] as const;
export type EventQuirk = (typeof EVENT_QUIRKS)[number];

/**
 * `defined`: the digest is of the data. `mismatch`: it should be, but is not. `hint`: it is the digest of something else.
 * A quirk: it deviates from the specification in a known way.
 */
export type DataState = 'defined' | 'mismatch' | 'hint' | EventQuirk;

const VARIABLE_HEADER_BYTES = 32;

/** Bytes that the C structure of shim adds to the sizes in it. */
const MAX_PADDING_BYTES = 7;

/** Where the data of a variable starts and ends in UEFI_VARIABLE_DATA (a GUID, two lengths, the name); null if it does not fit. */
function variableSpan(data: Uint8Array): { readonly start: number; readonly end: number } | null {
  if (data.length < VARIABLE_HEADER_BYTES) return null;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const start = BigInt(VARIABLE_HEADER_BYTES) + view.getBigUint64(16, true) * 2n;
  const end = start + view.getBigUint64(24, true);
  return end > BigInt(data.length) ? null : { start: Number(start), end: Number(end) };
}

/** Data of a variable that fills the event; null otherwise. */
function variableData(data: Uint8Array): Uint8Array | null {
  const span = variableSpan(data);
  return span === null || span.end !== data.length ? null : data.subarray(span.start);
}

function quirkOf(event: LogEvent, bank: HashName, crypto: AttestationCrypto): EventQuirk | null {
  const { data } = event;
  const span = variableSpan(data);
  if (span === null || data.length - span.end > MAX_PADDING_BYTES) return null;
  if (matches(event, data.subarray(span.start, span.end), bank, crypto)) return 'variable-authority-data';
  for (let end = span.end; end < data.length; end += 1) {
    if (matches(event, data.subarray(0, end), bank, crypto)) return 'variable-authority-padding';
  }
  return null;
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
  if (matches(event, event.data, bank, crypto)) return 'defined';
  const quirk = event.type === EV_EFI_VARIABLE_AUTHORITY ? quirkOf(event, bank, crypto) : null;
  return quirk ?? 'mismatch';
}

/** Whether the data of all events can be believed, with the reason for people. */
export function checkEventData(
  log: EventLog,
  bank: HashName,
  accepted: readonly EventQuirk[],
  crypto: AttestationCrypto,
): { readonly ok: boolean; readonly found: string } {
  const quirks = new Set<EventQuirk>();
  for (const event of log.events) {
    const state = dataState(event, bank, crypto);
    if (state === 'defined' || state === 'hint') continue;
    const what = `event ${event.number}, ${eventTypeName(event.type)}`;
    if (state === 'mismatch') return { ok: false, found: `${what}, has other data` };
    if (!accepted.includes(state))
      return { ok: false, found: `${what}, has the quirk ${state}, which the policy does not accept` };
    quirks.add(state);
  }
  if (quirks.size === 0) return { ok: true, found: 'as specified' };
  return { ok: true, found: `as specified, with the accepted quirk ${[...quirks].join(' and ')}` };
}
