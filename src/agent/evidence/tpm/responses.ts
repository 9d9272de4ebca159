import { BinaryReader } from '../../../attestation/encoding/binary-reader.ts';
import { CocosError } from '../../../errors.ts';
import { ALGORITHM, type Bank, TAG } from './codes.ts';
import type { PcrSelection } from './commands.ts';

/** Responses of TPM 2.0. The host's TPM is hostile input: every length is checked, and trailing bytes are refused. */

const HEADER_BYTES = 10;
const BANKS = new Map<number, Bank>(
  (['sha1', 'sha256', 'sha384', 'sha512'] as const).map((bank) => [ALGORITHM[bank], bank]),
);

/** @throws CocosError TPM_FAILED with `details.responseCode` */
export function refused(what: string, responseCode: number): CocosError {
  const code = `0x${responseCode.toString(16)}`;
  return new CocosError('TPM_FAILED', `The TPM refused ${what} with ${code}.`, {
    details: { responseCode: code },
  });
}

/** Response code (TPM_RC); zero is success. @throws CocosError TPM_FAILED */
export function responseCode(what: string, response: Uint8Array): number {
  const reader = new BinaryReader(response, what, 'big');
  return guarded(what, () => {
    const tag = reader.u16('tag');
    if (tag !== TAG.noSessions && tag !== TAG.sessions) throw reader.error(`has the tag ${tag}`);
    if (reader.u32('size') !== response.length)
      throw reader.error('declares a size that differs from its length');
    return reader.u32('response code');
  });
}

/** Runs a parser over the handle, if any, and the parameters of a successful response. */
function parse<T>(
  what: string,
  response: Uint8Array,
  parser: (reader: BinaryReader) => T,
  handle?: (value: number) => void,
): T {
  const code = responseCode(what, response);
  if (code !== 0) throw refused(what, code);
  return guarded(what, () => {
    const reader = new BinaryReader(response.subarray(HEADER_BYTES), what, 'big');
    const hasSessions = response[1] === (TAG.sessions & 0xff);
    if (handle !== undefined) handle(reader.u32('handle'));
    const parameters = hasSessions ? reader.bytes(reader.u32('parameter size'), 'parameters') : reader.rest();
    const inner = new BinaryReader(parameters, what, 'big');
    const value = parser(inner);
    inner.end();
    return value;
  });
}

function guarded<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw new CocosError('TPM_FAILED', `The TPM sent a malformed response to ${what}.`, { cause });
  }
}

const sized = (reader: BinaryReader, field: string): Uint8Array =>
  reader.bytes(reader.u16(`size of ${field}`), field).slice();

/** A response without parameters. */
export function parseNothing(what: string, response: Uint8Array): void {
  parse(what, response, () => undefined);
}

export interface CreatedKey {
  readonly handle: number;
  /** TPMT_PUBLIC. */
  readonly publicArea: Uint8Array;
  /** TPM2B_NAME without its size: hash algorithm and digest of the public area. */
  readonly name: Uint8Array;
}

export function parseCreatePrimary(response: Uint8Array): CreatedKey {
  let handle = 0;
  const take = (value: number): void => {
    handle = value;
  };
  return parse(
    'CreatePrimary',
    response,
    (reader) => {
      const publicArea = sized(reader, 'public area');
      sized(reader, 'creation data');
      sized(reader, 'creation hash');
      // TPMT_TK_CREATION: tag, hierarchy, digest.
      reader.bytes(6, 'creation ticket');
      sized(reader, 'ticket digest');
      return { handle, publicArea, name: sized(reader, 'name') };
    },
    take,
  );
}

export interface Quote {
  /** TPMS_ATTEST: the signed structure. */
  readonly attest: Uint8Array;
  /** TPMT_SIGNATURE. */
  readonly signature: Uint8Array;
}

export function parseQuote(response: Uint8Array): Quote {
  return parse('Quote', response, (reader) => ({
    attest: sized(reader, 'attest'),
    signature: reader.rest().slice(),
  }));
}

export interface PcrValues {
  readonly counter: number;
  /** The PCRs in the response, and their values in the same order. */
  readonly selections: readonly PcrSelection[];
  readonly values: readonly Uint8Array[];
}

export function parsePcrRead(response: Uint8Array): PcrValues {
  return parse('PCR_Read', response, (reader) => {
    const counter = reader.u32('update counter');
    const selections = Array.from({ length: count(reader, 'selections', 16) }, () => {
      const bank = BANKS.get(reader.u16('bank'));
      if (bank === undefined) throw reader.error('names an unknown bank');
      const bitmap = reader.bytes(reader.u8('size of the bitmap'), 'bitmap');
      const pcrs = Array.from({ length: bitmap.length * 8 }, (_, pcr) => pcr).filter(
        (pcr) => ((bitmap[pcr >> 3] ?? 0) & (1 << (pcr & 7))) !== 0,
      );
      return { bank, pcrs };
    });
    const values = Array.from({ length: count(reader, 'values', 8) }, () => sized(reader, 'value'));
    return { counter, selections, values };
  });
}

function count(reader: BinaryReader, what: string, limit: number): number {
  const value = reader.u32(`number of ${what}`);
  if (value > limit) throw reader.error(`has ${value} ${what}`);
  return value;
}

export function parseGetRandom(response: Uint8Array): Uint8Array {
  return parse('GetRandom', response, (reader) => sized(reader, 'random bytes'));
}

export interface PublicObject {
  /** TPMT_PUBLIC. */
  readonly publicArea: Uint8Array;
  readonly name: Uint8Array;
}

export function parseReadPublic(response: Uint8Array): PublicObject {
  return parse('ReadPublic', response, (reader) => {
    const publicArea = sized(reader, 'public area');
    const name = sized(reader, 'name');
    sized(reader, 'qualified name');
    return { publicArea, name };
  });
}

/** Size in bytes of the data of an NV index (TPMS_NV_PUBLIC, part 2 table 207). */
export function parseNvReadPublic(response: Uint8Array): number {
  return parse('NV_ReadPublic', response, (reader) => {
    const area = new BinaryReader(sized(reader, 'NV public area'), 'NV_ReadPublic', 'big');
    area.bytes(10, 'index, hash and attributes');
    sized(area, 'policy');
    const size = area.u16('data size');
    area.end();
    sized(reader, 'name');
    return size;
  });
}

export function parseNvRead(response: Uint8Array): Uint8Array {
  return parse('NV_Read', response, (reader) => sized(reader, 'data'));
}
