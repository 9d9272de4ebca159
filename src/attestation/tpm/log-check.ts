import { bytesToHex } from '@noble/hashes/utils.js';
import type { HashName } from '../../crypto/crypto-port.ts';
import { recordThrown } from '../appraisal/context.ts';
import type { CheckList } from '../appraisal/verdict.ts';
import { HASH_BYTES } from '../eventlog/algorithms.ts';
import { firstDeparture } from '../eventlog/compare.ts';
import { checkEventData } from '../eventlog/data.ts';
import type { EventLog } from '../eventlog/log.ts';
import { parseEventLog } from '../eventlog/parse.ts';
import { isExtended, replay } from '../eventlog/replay.ts';
import type { PcrBanks, QuoteInput } from './quote-input.ts';

/** The event log against the quoted PCRs, its own digests, and the reference log. */

/** PCRs that start at zero and are never reset while the machine runs (PC Client TPM profile). */
const STATIC_PCRS = 16;

type Selected = ReadonlyMap<HashName, readonly number[]>;

/** First value of a PCR: the dynamic ones start with all bits set. */
function initialValue(pcr: number, bank: HashName): Uint8Array {
  return new Uint8Array(HASH_BYTES[bank]).fill(pcr >= 17 && pcr <= 22 ? 0xff : 0);
}

/** Values of the selected PCRs according to the log. */
function replaySelected(log: EventLog, selected: Selected, input: QuoteInput): PcrBanks {
  const banks = [...selected].map(([bank, pcrs]) => {
    const values = replay(log, bank, input.crypto);
    const rows = pcrs.map((pcr) => [pcr, values.get(pcr) ?? initialValue(pcr, bank)] as const);
    return [bank, new Map(rows)] as const;
  });
  return new Map(banks);
}

function checkReplay(replayed: PcrBanks, log: EventLog, input: QuoteInput, checks: CheckList): void {
  const { pcrs } = input;
  const events = `${log.events.length} events`;
  if (pcrs === null) {
    checks.record(
      'vtpm.event-log',
      true,
      'the digest of the quote',
      `${events}; their PCR values are compared below`,
    );
    return;
  }
  const wrong = [...replayed].flatMap(([bank, values]) =>
    [...values].flatMap(([pcr, value]) => {
      const quoted = bytesToHex(pcrs.get(bank)?.get(pcr) ?? new Uint8Array());
      const logged = log.events.some(({ register }) => register === pcr);
      const judged = logged || (pcr < STATIC_PCRS && !input.policy.unloggedPcrs.includes(pcr));
      return judged && quoted !== bytesToHex(value) ? [{ pcr, quoted, replayed: bytesToHex(value) }] : [];
    }),
  );
  const [first] = wrong;
  if (first === undefined) {
    checks.record('vtpm.event-log', true, 'the quoted PCRs', events, unprovenNote(replayed, log));
    return;
  }
  const all = wrong.map(({ pcr }) => `PCR ${pcr}`).join(', ');
  checks.record(
    'vtpm.event-log',
    false,
    `PCR ${first.pcr} ${first.quoted}`,
    `PCR ${first.pcr} ${first.replayed}`,
    `the log does not replay to ${all}`,
  );
}

/** Events of PCRs that are not quoted are the host's word alone. */
function unprovenNote(replayed: PcrBanks, log: EventLog): string | undefined {
  const quoted = new Set([...replayed.values()].flatMap((values) => [...values.keys()]));
  const others = [...new Set(log.events.filter(isExtended).map(({ register }) => register))].filter(
    (register) => !quoted.has(register),
  );
  if (others.length === 0) return undefined;
  return `nothing proves the events of ${others.map((pcr) => `PCR ${pcr}`).join(', ')}, which are not quoted`;
}

function checkData(log: EventLog, bank: HashName, input: QuoteInput, checks: CheckList): void {
  const { ok, found } = checkEventData(log, bank, input.policy.acceptedEventQuirks, input.crypto);
  checks.record('vtpm.event-data', ok, 'data that matches its digests', found);
}

function checkReferenceLog(log: EventLog, selected: Selected, input: QuoteInput, checks: CheckList): void {
  const events = input.reference?.events;
  if (input.reference === undefined || events === undefined) {
    checks.notChecked('vtpm.reference-log', 'there is no reference log');
    return;
  }
  // Of a PCR that is not quoted, the log may say anything.
  const quoted = selected.get(input.reference.bank) ?? [];
  const unproven = events.find(({ register }) => !quoted.includes(register));
  if (unproven !== undefined) {
    const expected = `a quote of PCR ${unproven.register} in ${input.reference.bank}, whose events are compared`;
    checks.record('vtpm.reference-log', false, expected, 'not quoted');
    return;
  }
  const departure = firstDeparture(log, input.reference.bank, events);
  if (departure === null) {
    checks.record('vtpm.reference-log', true, `${events.length} events`, 'the same');
  } else {
    checks.record(
      'vtpm.reference-log',
      false,
      departure.expected,
      departure.found,
      'the first differing event',
    );
  }
}

/**
 * Records `vtpm.event-log`, `vtpm.event-data` and `vtpm.reference-log`.
 *
 * @param selected strong banks and the PCRs that are quoted of them.
 * @returns the values of the quoted PCRs according to the log; null without a log
 */
export function checkTpmLog(input: QuoteInput, selected: Selected, checks: CheckList): PcrBanks | null {
  if (input.eventLog === undefined) {
    const note = 'no event log was given';
    if (input.policy.requireEventLog) checks.missing('vtpm.event-log', note);
    else checks.notChecked('vtpm.event-log', note);
    checks.notChecked('vtpm.event-data', note);
    checks.notChecked('vtpm.reference-log', note);
    return null;
  }
  try {
    const log = parseEventLog(input.eventLog, 'pcr');
    const replayed = replaySelected(log, selected, input);
    checkReplay(replayed, log, input, checks);
    const [bank] = selected.keys();
    if (bank !== undefined) checkData(log, bank, input, checks);
    checkReferenceLog(log, selected, input, checks);
    return replayed;
  } catch (thrown) {
    recordThrown(checks, 'vtpm.event-log', 'an event log of the quoted banks', thrown);
    return null;
  }
}
