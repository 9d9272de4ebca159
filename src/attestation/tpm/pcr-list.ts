import type { HashName } from '../../crypto/crypto-port.ts';
import { BinaryReader } from '../encoding/binary-reader.ts';
import { HASH_BYTES, HASH_IDS } from '../eventlog/algorithms.ts';
import { parsePcrFile } from './pcr-file.ts';
import type { PcrBanks } from './quote-input.ts';

/**
 * What `tpm2_quote -o` writes: a TPML_PCR_SELECTION and lists of digests as C structures in memory: little-endian, with all unused
 * elements.
 */

const SELECTIONS = 16;
const SELECTION_BYTES = 8;
const LIST_DIGESTS = 8;
const DIGEST_BYTES = 64;
const LIST_BYTES = 4 + LIST_DIGESTS * (2 + DIGEST_BYTES);
const HEAD_BYTES = 4 + SELECTIONS * SELECTION_BYTES + 4;

/** The format starts with sizes that contain NUL bytes, which no text has there. */
function looksLikeList(bytes: Uint8Array): boolean {
  const rest = bytes.length - HEAD_BYTES;
  return rest >= 0 && rest % LIST_BYTES === 0 && (bytes[0] ?? 0) <= SELECTIONS && bytes[3] === 0;
}

function readSelections(reader: BinaryReader): (readonly [HashName, readonly number[]])[] {
  const count = reader.u32('number of selections');
  const rows = Array.from({ length: SELECTIONS }, () => {
    const hash = HASH_IDS[reader.u16('hash')];
    const size = reader.u8('size of selection');
    const bitmap = reader.bytes(SELECTION_BYTES - 3, 'selection').subarray(0, Math.min(size, 4));
    const pcrs = [...bitmap].flatMap((byte, i) =>
      [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => ((byte >> bit) & 1) === 1).map((bit) => 8 * i + bit),
    );
    return { hash, pcrs };
  });
  return rows.slice(0, count).flatMap(({ hash, pcrs }) => (hash === undefined ? [] : [[hash, pcrs]]));
}

function readDigests(reader: BinaryReader): Uint8Array[] {
  const lists = reader.u32('number of lists');
  const digests: Uint8Array[] = [];
  for (let list = 0; list < lists; list += 1) {
    const count = reader.u32('number of digests');
    for (let index = 0; index < LIST_DIGESTS; index += 1) {
      const size = reader.u16('size of digest');
      const digest = reader.bytes(DIGEST_BYTES, 'digest');
      if (index < count) digests.push(digest.subarray(0, size));
    }
  }
  reader.end();
  return digests;
}

/**
 * Reads PCR values from a file in any known format.
 *
 * @throws CocosError EVIDENCE_INVALID
 */
export function parsePcrValues(bytes: Uint8Array): PcrBanks {
  if (!looksLikeList(bytes)) return parsePcrFile(new TextDecoder().decode(bytes));
  const reader = new BinaryReader(bytes, 'PCR values', 'little');
  const selections = readSelections(reader);
  const digests = readDigests(reader);
  let next = 0;
  return new Map(
    selections.map(([bank, pcrs]) => {
      const rows = pcrs.map((pcr) => {
        const digest = digests[next];
        next += 1;
        if (digest?.length !== HASH_BYTES[bank])
          throw reader.error('the digests are not those of the selection');
        return [pcr, digest] as const;
      });
      return [bank, new Map(rows)] as const;
    }),
  );
}
