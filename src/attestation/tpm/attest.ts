import type { HashName } from '../../crypto/crypto-port.ts';
import { BinaryReader } from '../encoding/binary-reader.ts';
import { HASH_IDS } from '../eventlog/algorithms.ts';

/** TPMS_ATTEST: the statement that a TPM signs (TPM 2.0 Library specification, part 2). Integers are big-endian. */

/** "\xffTCG": only a TPM's own statements begin so; a restricted key signs nothing else. */
export const TPM_GENERATED = 0xff54_4347;
export const ST_ATTEST_QUOTE = 0x8018;

/** Largest statement that is read; real ones are below 256 bytes. */
export const MAX_ATTEST_BYTES = 2048;
const MAX_SELECTIONS = 16;
const MAX_SELECT_BYTES = 4;

export interface PcrSelection {
  /** Number of the hash algorithm. */
  readonly algorithm: number;
  /** Its name; null for one that is not known. */
  readonly bank: HashName | null;
  /** Ascending. */
  readonly pcrs: readonly number[];
}

export interface TpmAttest {
  readonly magic: number;
  readonly type: number;
  readonly qualifiedSigner: Uint8Array;
  /** Qualifying data: chosen by the challenger. */
  readonly extraData: Uint8Array;
  /** Milliseconds that the TPM has been powered. */
  readonly clock: bigint;
  readonly resetCount: number;
  readonly restartCount: number;
  /** Whether the clock cannot have gone back. */
  readonly safe: boolean;
  readonly firmwareVersion: bigint;
  /** Null when the statement is not a quote. */
  readonly quote: { readonly selections: readonly PcrSelection[]; readonly pcrDigest: Uint8Array } | null;
}

function readSelection(reader: BinaryReader): PcrSelection {
  const algorithm = reader.u16('hash algorithm');
  const size = reader.u8('size of selection');
  if (size > MAX_SELECT_BYTES) throw reader.error(`a selection of ${size} bytes`);
  const bitmap = reader.bytes(size, 'selection');
  const pcrs = Array.from({ length: size * 8 }, (_, pcr) => pcr).filter(
    (pcr) => (((bitmap[pcr >> 3] ?? 0) >> (pcr & 7)) & 1) === 1,
  );
  return { algorithm, bank: HASH_IDS[algorithm] ?? null, pcrs };
}

function readQuote(reader: BinaryReader): NonNullable<TpmAttest['quote']> {
  const count = reader.u32('number of selections');
  if (count > MAX_SELECTIONS) throw reader.error(`${count} selections`);
  const selections = Array.from({ length: count }, () => readSelection(reader));
  const algorithms = selections.map(({ algorithm }) => algorithm);
  if (new Set(algorithms).size !== algorithms.length) throw reader.error('a bank is selected twice');
  const pcrDigest = reader.bytes(reader.u16('PCR digest size'), 'PCR digest');
  if (reader.left !== 0) throw reader.error(`${reader.left} bytes follow`, 'vtpm.trailing-bytes');
  return { selections, pcrDigest };
}

/**
 * Parses one statement. Magic and type are returned unchecked, so that a verifier can report which of them is invalid. The
 * part that is specific to quotes is parsed only if the type is a quote.
 *
 * @throws CocosError EVIDENCE_INVALID
 */
export function parseAttest(bytes: Uint8Array): TpmAttest {
  const reader = new BinaryReader(bytes, 'TPM statement', 'big');
  if (bytes.length > MAX_ATTEST_BYTES) throw reader.error(`larger than ${MAX_ATTEST_BYTES} bytes`);
  const sized = (field: string): Uint8Array => reader.bytes(reader.u16(`${field} size`), field);
  const base = {
    magic: reader.u32('magic'),
    type: reader.u16('type'),
    qualifiedSigner: sized('qualified signer'),
    extraData: sized('extra data'),
    clock: reader.u64('clock'),
    resetCount: reader.u32('reset count'),
    restartCount: reader.u32('restart count'),
  };
  const safe = reader.u8('safe');
  if (safe > 1) throw reader.error('the safe flag is neither yes nor no');
  const rest = { ...base, safe: safe === 1, firmwareVersion: reader.u64('firmware version') };
  const isQuote = rest.magic === TPM_GENERATED && rest.type === ST_ATTEST_QUOTE;
  return { ...rest, quote: isQuote ? readQuote(reader) : null };
}
