import { concatBytes } from '@noble/hashes/utils.js';
import type { AttestationCrypto, HashName } from '../../crypto/crypto-port.ts';
import { CocosError } from '../../errors.ts';
import { HASH_BYTES, hashOf } from './algorithms.ts';
import type { EventLog, LogEvent } from './log.ts';
import { isStartupLocality } from './order.ts';
import { EV_NO_ACTION } from './types.ts';

/** Replays a log: value = H(value ‖ digest) for each event of a register, starting at zero. */

const MAX_REGISTER = { pcr: 23, rtmr: 4 } as const;

/** Locality at which the TPM was started; it is the last byte of the initial value of PCR 0. */
const startupLocality = (events: readonly LogEvent[]): number =>
  events.find(isStartupLocality)?.data.at(-1) ?? 0;

/** Whether an event extends its register. */
export function isExtended(event: LogEvent): boolean {
  return event.type !== EV_NO_ACTION;
}

/**
 * Replays one bank.
 *
 * @returns value of each register that the log extends: PCR index, or for a CCEL the index in the log (0 is MRTD,
 * 1 to 4 are RTMR 0 to 3).
 * @throws CocosError EVIDENCE_INVALID when the log lacks the bank or names a register that does not exist.
 */
export function replay(log: EventLog, bank: HashName, crypto: AttestationCrypto): Map<number, Uint8Array> {
  if (!log.banks.includes(bank))
    throw new CocosError('EVIDENCE_INVALID', `event log: no bank ${bank}`, {
      details: { check: 'event-log.banks' },
    });
  const values = new Map<number, Uint8Array>();
  const start = (register: number): Uint8Array => {
    const value = new Uint8Array(HASH_BYTES[bank]);
    if (log.kind === 'pcr' && register === 0) value[value.length - 1] = startupLocality(log.events);
    return value;
  };
  for (const event of log.events.filter(isExtended)) {
    const { register } = event;
    if (register > MAX_REGISTER[log.kind]) {
      throw new CocosError('EVIDENCE_INVALID', `event log: register ${register} does not exist`, {
        details: { check: 'event-log.registers' },
      });
    }
    const digest = event.digests.get(bank) ?? new Uint8Array();
    values.set(register, hashOf(bank, concatBytes(values.get(register) ?? start(register), digest), crypto));
  }
  return values;
}

/** RTMR 0 to 3 of a CCEL; registers without events are zero. @throws CocosError EVIDENCE_INVALID */
export function replayRtmrs(log: EventLog, crypto: AttestationCrypto): Uint8Array[] {
  if (log.kind !== 'rtmr') throw new CocosError('EVIDENCE_INVALID', 'event log: not from a TDX guest');
  // The TDX module alone measures MRTD (Intel TDX GHCI, CCEL): nothing could prove what the log says of it.
  const foreign = log.events.find((event) => event.register === 0 && isExtended(event));
  if (foreign !== undefined)
    throw new CocosError(
      'EVIDENCE_INVALID',
      `event log: event ${foreign.number} is in MRTD, which no event extends`,
      {
        details: { check: 'event-log.registers' },
      },
    );
  const values = replay(log, 'sha384', crypto);
  return [1, 2, 3, 4].map((index) => values.get(index) ?? new Uint8Array(HASH_BYTES.sha384));
}
