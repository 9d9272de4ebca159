import { bytesToHex } from '@noble/hashes/utils.js';
import type { HashName } from '../../crypto/crypto-port.ts';
import { type EventLog, registerName } from './log.ts';
import { isExtended } from './replay.ts';
import { eventTypeName } from './types.ts';

/** One event of a reference log: the register index in the log, and the digest in hex. */
export interface ReferenceEvent {
  readonly register: number;
  readonly digest: string;
  /** For people. */
  readonly description?: string | undefined;
}

const describe = (event: ReferenceEvent | undefined, log: EventLog): string =>
  event === undefined
    ? 'no further event'
    : `${registerName(log, event.register)} ${event.digest}${event.description === undefined ? '' : ` (${event.description})`}`;

/**
 * Describes the first event that differs from a reference log; null if both logs extend the same values in the same
 * order. Events that extend nothing are ignored.
 */
export function firstDeparture(
  log: EventLog,
  bank: HashName,
  reference: readonly ReferenceEvent[],
): { readonly expected: string; readonly found: string } | null {
  const extended = log.events.filter(isExtended);
  const length = Math.max(extended.length, reference.length);
  for (let index = 0; index < length; index += 1) {
    const event = extended[index];
    const want = reference[index];
    const digest = bytesToHex(event?.digests.get(bank) ?? new Uint8Array());
    if (event !== undefined && want?.register === event.register && want.digest === digest) continue;
    const where =
      event === undefined
        ? `the log ends after ${extended.length} events`
        : `event ${event.number}, ${eventTypeName(event.type)}, ${registerName(log, event.register)} ${digest}`;
    return { expected: describe(want, log), found: where };
  }
  return null;
}
