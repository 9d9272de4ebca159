import { createHash, createPublicKey, type KeyObject, sign } from 'node:crypto';

/** A TPM whose statements are correct except for the changes of a test, with matching event logs. */

export type Bank = 'sha1' | 'sha256' | 'sha384' | 'sha512';
export const BANK_ID: Readonly<Record<Bank, number>> = { sha1: 4, sha256: 0xb, sha384: 0xc, sha512: 0xd };
const SIZE: Readonly<Record<Bank, number>> = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 };

const be16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff]);
const be32 = (value: number): Buffer => {
  const out = Buffer.alloc(4);
  out.writeUInt32BE(value >>> 0);
  return out;
};
const le32 = (value: number): Buffer => {
  const out = Buffer.alloc(4);
  out.writeUInt32LE(value >>> 0);
  return out;
};
const le16 = (value: number): Buffer => Buffer.from([value & 0xff, value >> 8]);
const sized = (bytes: Uint8Array): Buffer => Buffer.concat([be16(bytes.length), bytes]);
export const hash = (bank: Bank, ...parts: readonly Uint8Array[]): Uint8Array =>
  new Uint8Array(createHash(bank).update(Buffer.concat(parts)).digest());

export type Pcrs = ReadonlyMap<number, Uint8Array>;
export type Selection = readonly { readonly bank: Bank; readonly pcrs: readonly number[] }[];

export interface AttestOptions {
  readonly magic?: number;
  readonly type?: number;
  readonly extraData?: Uint8Array;
  readonly selection?: Selection;
  readonly safe?: number;
  readonly trailing?: Uint8Array;
  /** Hash of the PCR digest, which is that of the signature. */
  readonly digestHash?: Bank;
}

/** TPMS_ATTEST over PCR values. */
export function attest(values: ReadonlyMap<Bank, Pcrs>, options: AttestOptions = {}): Uint8Array {
  const selection =
    options.selection ?? [...values].map(([bank, pcrs]) => ({ bank, pcrs: [...pcrs.keys()] }));
  const selected = selection.flatMap(({ bank, pcrs }) =>
    pcrs.map((pcr) => values.get(bank)?.get(pcr) ?? new Uint8Array(SIZE[bank])),
  );
  const one = ({ bank, pcrs }: Selection[number]) => {
    const bitmap = Buffer.alloc(3);
    for (const pcr of pcrs) bitmap[pcr >> 3] = (bitmap[pcr >> 3] ?? 0) | (1 << (pcr & 7));
    return Buffer.concat([be16(BANK_ID[bank]), Buffer.from([3]), bitmap]);
  };
  return new Uint8Array(
    Buffer.concat([
      be32(options.magic ?? 0xff544347),
      be16(options.type ?? 0x8018),
      sized(Buffer.alloc(34, 0x0b)),
      sized(options.extraData ?? new Uint8Array()),
      Buffer.alloc(8),
      be32(1),
      be32(0),
      Buffer.from([options.safe ?? 1]),
      Buffer.alloc(8),
      be32(selection.length),
      ...selection.map(one),
      sized(hash(options.digestHash ?? 'sha256', ...selected)),
      options.trailing ?? new Uint8Array(),
    ]),
  );
}

const RESTRICTED_SIGN = 0x50072;

/** TPMT_PUBLIC of a P-256 or P-384 key. */
export function publicArea(key: KeyObject, attributes = RESTRICTED_SIGN): Uint8Array {
  const jwk = createPublicKey(key).export({ format: 'jwk' });
  const coordinate = (text: string | undefined) => sized(Buffer.from(text ?? '', 'base64url'));
  const curve = jwk.crv === 'P-384' ? 4 : 3;
  const bank = curve === 4 ? 'sha384' : 'sha256';
  return new Uint8Array(
    Buffer.concat([
      be16(0x23),
      be16(0x0b),
      be32(attributes),
      sized(new Uint8Array()),
      be16(0x10),
      be16(0x18),
      be16(BANK_ID[bank]),
      be16(curve),
      be16(0x10),
      coordinate(jwk.x),
      coordinate(jwk.y),
    ]),
  );
}

/** TPMT_SIGNATURE of ECDSA. */
export function ecdsaSignature(
  message: Uint8Array,
  key: KeyObject,
  bank: Bank = 'sha256',
  named: Bank = bank,
): Uint8Array {
  const raw = sign(bank, message, { key, dsaEncoding: 'ieee-p1363' });
  const half = raw.length / 2;
  const parts = [be16(0x18), be16(BANK_ID[named]), sized(raw.subarray(0, half)), sized(raw.subarray(half))];
  return new Uint8Array(Buffer.concat(parts));
}

/** TPMT_SIGNATURE of RSASSA (0x14) or RSAPSS (0x16) around given bytes. */
export function rsaSignature(scheme: number, bank: Bank, value: Uint8Array): Uint8Array {
  return new Uint8Array(Buffer.concat([be16(scheme), be16(BANK_ID[bank]), sized(value)]));
}

export interface LogEvent {
  readonly register: number;
  readonly type: number;
  readonly data: Uint8Array;
  /** Digest in each bank (default: that of the data). */
  readonly digests?: readonly (readonly [Bank, Uint8Array])[];
}

export interface LogOptions {
  readonly banks?: readonly Bank[];
  /** Banks of the header, where they are not those of the events. */
  readonly headerBanks?: readonly Bank[];
}

const digestsOf = (event: LogEvent, banks: readonly Bank[]) =>
  event.digests ?? banks.map((bank) => [bank, hash(bank, event.data)] as const);

/** A crypto-agile event log. */
export function eventLog(events: readonly LogEvent[], options: LogOptions = {}): Uint8Array {
  const banks = options.banks ?? ['sha256'];
  const headerBanks = options.headerBanks ?? banks;
  const spec = Buffer.concat([
    Buffer.from('Spec ID Event03\0', 'latin1'),
    Buffer.from([0, 0, 0, 0, 0, 2, 0, 2]),
    le32(headerBanks.length),
    ...headerBanks.flatMap((bank) => [le16(BANK_ID[bank]), le16(SIZE[bank])]),
    Buffer.from([0]),
  ]);
  const head = Buffer.concat([le32(0), le32(3), Buffer.alloc(20), le32(spec.length), spec]);
  const body = events.map((event) => {
    const digests = digestsOf(event, banks);
    return Buffer.concat([
      le32(event.register),
      le32(event.type),
      le32(digests.length),
      ...digests.flatMap(([bank, value]) => [le16(BANK_ID[bank]), value]),
      le32(event.data.length),
      event.data,
    ]);
  });
  return new Uint8Array(Buffer.concat([head, ...body]));
}

/** PCR values after all events. */
export function extendAll(events: readonly LogEvent[], bank: Bank = 'sha256'): Map<number, Uint8Array> {
  const values = new Map<number, Uint8Array>();
  for (const event of events) {
    if (event.type === 3) continue;
    const digest = digestsOf(event, [bank]).find(([name]) => name === bank)?.[1] ?? new Uint8Array();
    const before = values.get(event.register) ?? new Uint8Array(SIZE[bank]);
    values.set(event.register, hash(bank, before, digest));
  }
  return values;
}
