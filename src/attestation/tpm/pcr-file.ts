import { hexToBytes } from '@noble/hashes/utils.js';
import { z } from 'zod';
import type { HashName } from '../../crypto/crypto-port.ts';
import { CocosError } from '../../errors.ts';
import { parseStrictJson } from '../encoding/strict-json.ts';
import { HASH_BYTES, isHashName } from '../eventlog/algorithms.ts';
import type { PcrBanks } from './quote-input.ts';

/**
 * Files of PCR values: a JSON array of 24 values, a JSON object of banks, or the text that `tpm2_pcrread` prints.
 */

const PCRS = 24;
const Values = z.array(z.string());
const Banks = z.record(z.string(), z.record(z.string(), z.string()));

const invalid = (sentence: string, cause?: unknown): CocosError =>
  new CocosError('EVIDENCE_INVALID', `PCR values: ${sentence}`, { cause });

const BY_LENGTH = new Map(Object.entries(HASH_BYTES).map(([name, bytes]) => [bytes, name]));

function digest(text: string, bank?: HashName): Uint8Array {
  const hex = text.trim().toLowerCase().replace(/^0x/, '');
  const wrong = bank !== undefined && hex.length !== 2 * HASH_BYTES[bank];
  if (wrong || !/^(?:[0-9a-f]{2})+$/.test(hex))
    throw invalid(`${JSON.stringify(text.slice(0, 80))} is not a digest`);
  return hexToBytes(hex);
}

function pcrIndex(text: string): number {
  const index = /^\d{1,2}$/.test(text) ? Number(text) : PCRS;
  if (index >= PCRS) throw invalid(`PCR ${text} does not exist`);
  return index;
}

/** An array: value of each PCR in order; the bank follows from the length. */
function fromArray(values: readonly string[]): PcrBanks {
  const digests = values.map((value) => digest(value));
  const bank = BY_LENGTH.get(digests[0]?.length ?? 0);
  if (bank === undefined || !isHashName(bank) || values.length > PCRS)
    throw invalid('not the values of one bank');
  return new Map([[bank, new Map(values.map((value, index) => [index, digest(value, bank)]))]]);
}

function fromBanks(banks: Readonly<Record<string, Readonly<Record<string, string>>>>): PcrBanks {
  return new Map(
    Object.entries(banks).map(([bank, values]) => {
      if (!isHashName(bank)) throw invalid(`the bank ${bank} is unknown`);
      const rows = Object.entries(values).map(
        ([pcr, value]) => [pcrIndex(pcr), digest(value, bank)] as const,
      );
      return [bank, new Map(rows)];
    }),
  );
}

/** Lines such as `sha256:` and `  0 : 0x…`. */
function fromText(text: string): PcrBanks {
  const banks: Record<string, Record<string, string>> = {};
  let current: Record<string, string> | undefined;
  for (const line of text.split('\n')) {
    const bank = /^\s*(sha\d+)\s*:\s*$/.exec(line)?.[1];
    const value = /^\s*(\d+)\s*:\s*(?:0x)?([0-9a-fA-F]+)\s*$/.exec(line);
    if (bank !== undefined) {
      current = {};
      banks[bank] = current;
    } else if (value !== null && current !== undefined) {
      current[value[1] ?? ''] = value[2] ?? '';
    } else if (line.trim() !== '') {
      throw invalid(`the line ${JSON.stringify(line.slice(0, 80))} has an unknown format`);
    }
  }
  return fromBanks(banks);
}

/** @throws CocosError EVIDENCE_INVALID */
export function parsePcrFile(text: string): PcrBanks {
  if (!/^\s*[[{]/.test(text)) return fromText(text);
  let json: unknown;
  try {
    json = parseStrictJson(text);
  } catch (cause) {
    throw invalid(CocosError.from(cause).message, cause);
  }
  const values = Values.safeParse(json);
  if (values.success) return fromArray(values.data);
  const banks = Banks.safeParse(json);
  if (!banks.success) throw invalid('neither a list of values nor an object of banks');
  return fromBanks(banks.data);
}
