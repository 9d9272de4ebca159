import {
  ALGORITHM,
  ATTRIBUTE,
  type Bank,
  COMMAND,
  CURVE,
  type Curve,
  HANDLE,
  PCR_COUNT,
  TAG,
} from './codes.ts';

/**
 * Commands of TPM 2.0 (Library specification, part 3), byte for byte. Integers are big-endian; a TPM2B is a u16
 * size and its bytes.
 */

/** A set of PCRs in one bank. */
export interface PcrSelection {
  readonly bank: Bank;
  readonly pcrs: readonly number[];
}

const u8 = (value: number): Uint8Array => Uint8Array.of(value);
const u16 = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 0xff);
function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}
const sized = (...parts: readonly Uint8Array[]): Uint8Array => {
  const body = Buffer.concat(parts);
  return Buffer.concat([u16(body.length), body]);
};
const EMPTY = sized();

/** An empty password for one handle (TPMS_AUTH_COMMAND, part 2 table 130). */
const PASSWORD = Buffer.concat([u32(HANDLE.password), EMPTY, u8(0), EMPTY]);

function command(
  code: number,
  handles: readonly number[],
  auths: number,
  ...parameters: Uint8Array[]
): Uint8Array {
  const sessions = Array.from({ length: auths }, () => PASSWORD);
  const authorization = auths === 0 ? [] : [u32(auths * PASSWORD.length), ...sessions];
  const body = Buffer.concat([...handles.map(u32), ...authorization, ...parameters]);
  const tag = auths === 0 ? TAG.noSessions : TAG.sessions;
  return Buffer.concat([u16(tag), u32(10 + body.length), u32(code), body]);
}

/** TPML_PCR_SELECTION: PCR i is bit i mod 8 of byte i / 8. */
function selectionList(selections: readonly PcrSelection[]): Uint8Array {
  const one = ({ bank, pcrs }: PcrSelection): Uint8Array => {
    const bitmap = new Uint8Array(PCR_COUNT / 8);
    for (const pcr of pcrs) bitmap[pcr >> 3] = (bitmap[pcr >> 3] ?? 0) | (1 << (pcr & 7));
    return Buffer.concat([u16(ALGORITHM[bank]), u8(bitmap.length), bitmap]);
  };
  return Buffer.concat([u32(selections.length), ...selections.map(one)]);
}

/**
 * TPM2_CreatePrimary of a restricted ECDSA signing key in the endorsement hierarchy. The same seed and template
 * always produce the same key, and the TPM uses it only to sign its own statements.
 */
export function createAttestationKey(curve: Curve): Uint8Array {
  const hash = curve === 'P-256' ? ALGORITHM.sha256 : ALGORITHM.sha384;
  const { fixedTpm, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign } = ATTRIBUTE;
  const publicArea = sized(
    u16(ALGORITHM.ecc),
    u16(ALGORITHM.sha256),
    u32(fixedTpm | fixedParent | sensitiveDataOrigin | userWithAuth | restricted | sign),
    EMPTY,
    u16(ALGORITHM.none),
    u16(ALGORITHM.ecdsa),
    u16(hash),
    u16(CURVE[curve]),
    u16(ALGORITHM.none),
    EMPTY,
    EMPTY,
  );
  const sensitive = sized(EMPTY, EMPTY);
  return command(COMMAND.createPrimary, [HANDLE.endorsement], 1, sensitive, publicArea, EMPTY, u32(0));
}

/**
 * TPM2_Quote.
 *
 * @param curve of the key: its hash is that of the quote.
 * @param qualifyingData at most 64 bytes.
 */
export function quote(
  key: number,
  curve: Curve,
  qualifyingData: Uint8Array,
  selections: readonly PcrSelection[],
): Uint8Array {
  const hash = curve === 'P-256' ? ALGORITHM.sha256 : ALGORITHM.sha384;
  const scheme = Buffer.concat([u16(ALGORITHM.ecdsa), u16(hash)]);
  return command(COMMAND.quote, [key], 1, sized(qualifyingData), scheme, selectionList(selections));
}

/** TPM2_PCR_Read; the TPM answers with at most eight values. */
export function pcrRead(selections: readonly PcrSelection[]): Uint8Array {
  return command(COMMAND.pcrRead, [], 0, selectionList(selections));
}

/** TPM2_PCR_Extend with a digest for each bank. */
export function pcrExtend(
  pcr: number,
  digests: readonly { readonly bank: Bank; readonly digest: Uint8Array }[],
): Uint8Array {
  const values = digests.flatMap(({ bank, digest }) => [u16(ALGORITHM[bank]), digest]);
  return command(COMMAND.pcrExtend, [pcr], 1, u32(digests.length), ...values);
}

/** TPM2_GetRandom; the TPM may answer with fewer bytes. */
export function getRandom(count: number): Uint8Array {
  return command(COMMAND.getRandom, [], 0, u16(count));
}

/** TPM2_ReadPublic. */
export function readPublic(object: number): Uint8Array {
  return command(COMMAND.readPublic, [object], 0);
}

/** TPM2_FlushContext: its handle is a parameter, not in the handle area. */
export function flushContext(object: number): Uint8Array {
  return command(COMMAND.flushContext, [], 0, u32(object));
}

/** TPM2_NV_ReadPublic. */
export function nvReadPublic(index: number): Uint8Array {
  return command(COMMAND.nvReadPublic, [index], 0);
}

/** TPM2_NV_Read by the index's own authorization, which is an empty password for certificates. */
export function nvRead(index: number, offset: number, size: number): Uint8Array {
  return command(COMMAND.nvRead, [index, index], 1, u16(size), u16(offset));
}
