import { parseEventLog } from '../../../attestation/eventlog/parse.ts';
import { ALGORITHM, type Bank } from './codes.ts';

/** EV_IPL (TCG PC Client Platform Firmware Profile, event types): its data is a hint for human readers. */
const EV_IPL = 0x0000_000d;
const EV_NO_ACTION = 0x0000_0003;
const DIGEST_BYTES: Readonly<Record<Bank, number>> = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 };

/** The firmware's event log followed by the agent's own events, in the crypto-agile format (TCG PFP, 10.2). */
export class MeasuredLog {
  /** Banks in which every event must have a digest. */
  readonly banks: readonly Bank[];
  readonly #parts: Uint8Array[];

  /** @param firmware the log that the kernel received from the firmware; ignored if it cannot be continued */
  constructor(firmware: Uint8Array | null) {
    const known = firmware === null ? null : readable(firmware);
    this.banks = known?.banks ?? ['sha256'];
    this.#parts = [known?.bytes ?? header(this.banks)];
  }

  append(pcr: number, what: string, digests: ReadonlyMap<Bank, Uint8Array>): void {
    const values = this.banks.flatMap((bank) => {
      const digest = digests.get(bank);
      if (digest?.length !== DIGEST_BYTES[bank]) throw new RangeError(`an event needs a ${bank} digest`);
      return [u16(ALGORITHM[bank]), digest];
    });
    const data = Buffer.from(what, 'utf8');
    this.#parts.push(
      Buffer.concat([u32(pcr), u32(EV_IPL), u32(this.banks.length), ...values, u32(data.length), data]),
    );
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.#parts);
  }
}

function readable(bytes: Uint8Array): { bytes: Uint8Array; banks: readonly Bank[] } | null {
  try {
    const { specId, banks, end } = parseEventLog(bytes, 'pcr');
    return specId === null ? null : { bytes: bytes.subarray(0, end), banks };
  } catch {
    return null;
  }
}

/** The first record of a log: TCG_EfiSpecIDEvent. */
function header(banks: readonly Bank[]): Uint8Array {
  const algorithms = banks.flatMap((bank) => [u16(ALGORITHM[bank]), u16(DIGEST_BYTES[bank])]);
  // Platform class client, version 2.0, errata 0, 64-bit integers, no vendor information.
  const version = Buffer.from([0, 0, 0, 0, 0, 2, 0, 2]);
  const signature = Buffer.from('Spec ID Event03\0', 'latin1');
  const data = Buffer.concat([signature, version, u32(banks.length), ...algorithms, Buffer.from([0])]);
  return Buffer.concat([u32(0), u32(EV_NO_ACTION), Buffer.alloc(20), u32(data.length), data]);
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
