import type { HashName } from '../../crypto/crypto-port.ts';
import { BinaryReader } from '../encoding/binary-reader.ts';
import { DIGEST_BYTES, HASH_IDS } from './algorithms.ts';
import type { EventLog, LogEvent, LogKind } from './log.ts';
import { checkOrder, SPEC_ID_SIGNATURE } from './order.ts';
import { EV_NO_ACTION } from './types.ts';

/**
 * Firmware event logs (TCG PC Client Platform Firmware Profile; Intel TDX GHCI for the CCEL): the crypto-agile format
 * and the older SHA-1-only one. Integers are little-endian.
 */

/** Size limit of a log; the ACPI area of a CCEL is 256 KiB with its padding. */
export const MAX_EVENT_LOG_BYTES = 4 * 1024 * 1024;
const MAX_EVENTS = 16_384;
const SHA1_BYTES = 20;
const MAX_ALGORITHMS = 8;
const END_MARK = 0xffff_ffff;
/** The check that fails for a malformed log. */
const FORM = 'event-log.form';

interface Algorithm {
  readonly id: number;
  readonly size: number;
}

function readSpecId(data: Uint8Array) {
  const reader = new BinaryReader(data, 'event log header', 'little', FORM);
  reader.bytes(SPEC_ID_SIGNATURE.length, 'signature');
  const specId = {
    platformClass: reader.u32('platform class'),
    minor: reader.u8('minor version'),
    major: reader.u8('major version'),
    errata: reader.u8('errata'),
    uintnSize: reader.u8('size of a native integer'),
  };
  const count = reader.u32('number of algorithms');
  if (count === 0 || count > MAX_ALGORITHMS) throw reader.error(`${count} algorithms`);
  const algorithms: Algorithm[] = [];
  for (let i = 0; i < count; i += 1) {
    const id = reader.u16('algorithm');
    const size = reader.u16('digest size');
    if (DIGEST_BYTES[id] !== size) throw reader.error(`algorithm 0x${id.toString(16)} with ${size} bytes`);
    if (algorithms.some((other) => other.id === id))
      throw reader.error(`algorithm 0x${id.toString(16)} twice`, 'event-log.algorithms');
    algorithms.push({ id, size });
  }
  reader.bytes(reader.u8('vendor information size'), 'vendor information');
  reader.end();
  return { specId, algorithms };
}

/** Digests of one event: each listed algorithm exactly once, and no other. */
function readDigests(reader: BinaryReader, algorithms: readonly Algorithm[]): Map<HashName, Uint8Array> {
  const count = reader.u32('number of digests');
  if (count !== algorithms.length) {
    const check = count < algorithms.length ? 'event-log.banks' : 'event-log.algorithms';
    throw reader.error(`an event has ${count} digests, expected ${algorithms.length}`, check);
  }
  const seen = new Set<number>();
  const digests = new Map<HashName, Uint8Array>();
  for (let i = 0; i < count; i += 1) {
    const id = reader.u16('algorithm');
    const algorithm = algorithms.find((each) => each.id === id);
    if (algorithm === undefined)
      throw reader.error(`algorithm 0x${id.toString(16)} is not in the header`, 'event-log.algorithms');
    if (seen.has(id))
      throw reader.error(`an event lists algorithm 0x${id.toString(16)} twice`, 'event-log.algorithms');
    seen.add(id);
    const digest = reader.bytes(algorithm.size, 'a digest');
    const name = HASH_IDS[id];
    if (name !== undefined) digests.set(name, digest);
  }
  return digests;
}

/** Where the padding at the end begins: the end mark and more of it, or zeros. Found once, since logs are long. */
function startOfPadding(bytes: Uint8Array): number {
  const last = bytes.at(-1);
  if (last !== 0xff && last !== 0) return bytes.length;
  let at = bytes.length;
  while (at > 0 && bytes[at - 1] === last) at -= 1;
  return at;
}

function readEvents(
  reader: BinaryReader,
  bytes: Uint8Array,
  digestsOf: (reader: BinaryReader) => Map<HashName, Uint8Array>,
): LogEvent[] {
  const events: LogEvent[] = [];
  const padding = startOfPadding(bytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  while (reader.left > 0 && reader.offset < padding) {
    // Windows ends its log with an informative event in the register of the end mark.
    const isEnd =
      reader.left < 8 ||
      (view.getUint32(reader.offset, true) === END_MARK &&
        view.getUint32(reader.offset + 4, true) !== EV_NO_ACTION);
    if (isEnd) throw reader.error('the last event is followed by data other than padding');
    if (events.length === MAX_EVENTS) throw reader.error(`more than ${MAX_EVENTS} events`);
    const register = reader.u32('a register');
    const type = reader.u32('a type');
    const digests = digestsOf(reader);
    const data = reader.bytes(reader.u32('size of event data'), 'event data');
    events.push({ number: events.length + 1, register, type, digests, data });
  }
  return events;
}

/** A CCEL has the bank SHA-384 alone and registers up to RTMR3; the log of a TPM always measures into PCR 7. */
function guessKind(banks: readonly HashName[], events: readonly LogEvent[]): LogKind {
  return banks.length === 1 && banks[0] === 'sha384' && events.every(({ register }) => register <= 4)
    ? 'rtmr'
    : 'pcr';
}

const isSpecId = (data: Uint8Array): boolean =>
  String.fromCharCode(...data.subarray(0, SPEC_ID_SIGNATURE.length)) === SPEC_ID_SIGNATURE;

function ordered(log: EventLog): EventLog {
  checkOrder(log);
  return log;
}

/**
 * Parses one log.
 *
 * @param kind kind of the registers (default: derived from banks and registers)
 * @throws CocosError EVIDENCE_INVALID
 */
export function parseEventLog(bytes: Uint8Array, kind?: LogKind): EventLog {
  const reader = new BinaryReader(bytes, 'event log', 'little', FORM);
  if (bytes.length > MAX_EVENT_LOG_BYTES) throw reader.error(`larger than ${MAX_EVENT_LOG_BYTES} bytes`);
  // PCR 0 in the log of a TPM; a CCEL has another index here.
  reader.u32('a register');
  const type = reader.u32('a type');
  const digest = reader.bytes(SHA1_BYTES, 'a digest');
  const data = reader.bytes(reader.u32('size of event data'), 'event data');
  const header = type === EV_NO_ACTION && digest.every((byte) => byte === 0) && isSpecId(data);
  if (header) {
    const { specId, algorithms } = readSpecId(data);
    const events = readEvents(reader, bytes, (from) => readDigests(from, algorithms));
    const banks = algorithms.map(({ id }) => HASH_IDS[id]).filter((name) => name !== undefined);
    return ordered({ kind: kind ?? guessKind(banks, events), specId, banks, events, end: reader.offset });
  }
  const legacy = new BinaryReader(bytes, 'event log', 'little', FORM);
  const events = readEvents(legacy, bytes, (from) => new Map([['sha1', from.bytes(SHA1_BYTES, 'a digest')]]));
  if (events.length === 0) throw legacy.error('no events');
  return ordered({ kind: kind ?? 'pcr', specId: null, banks: ['sha1'], events, end: legacy.offset });
}
