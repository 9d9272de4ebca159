import { decode, encode, rfc8949EncodeOptions, Tagged } from 'cborg';
import type { HashName } from '../../crypto/crypto-port.ts';
import { CocosError } from '../../errors.ts';

/**
 * CoRIM and CoMID (draft-ietf-rats-corim): reference values in CBOR, as far as measurements with digests, versions,
 * names, raw values and integrity registers go.
 */

const MAX_CORIM_BYTES = 4 * 1024 * 1024;
const TAG = { corim: 501, comid: 506, bytes: 560 } as const;
const CORIM = { id: 0, tags: 1, profile: 3 } as const;
const COMID = { tagIdentity: 1, triples: 4 } as const;
const TAG_IDENTITY = { id: 0, version: 1 } as const;
const TRIPLES = { reference: 0 } as const;
const ENVIRONMENT = { class: 0 } as const;
const CLASS = { vendor: 1, model: 2 } as const;
const MEASUREMENT = { key: 0, value: 1 } as const;
const VALUES = { version: 0, digests: 2, raw: 4, name: 11, registers: 14 } as const;

/** Numbers of hashes in the Named Information registry, which CoRIM's digests use. */
const HASH_NUMBERS: Readonly<Record<Exclude<HashName, 'sha1'>, number>> = { sha256: 1, sha384: 7, sha512: 8 };
export type CorimHash = keyof typeof HASH_NUMBERS;

export interface CorimDigest {
  readonly hash: CorimHash;
  readonly value: Uint8Array;
}

export interface Measurement {
  readonly key: string;
  readonly version?: string | undefined;
  readonly digests?: readonly CorimDigest[] | undefined;
  readonly raw?: Uint8Array | undefined;
  readonly name?: string | undefined;
  /** Values of registers, by index. */
  readonly registers?: ReadonlyMap<number, readonly CorimDigest[]> | undefined;
}

export interface ReferenceTriple {
  readonly vendor: string;
  readonly model: string;
  readonly measurements: readonly Measurement[];
}

export interface Corim {
  readonly id: string;
  /** One CoMID for each list of triples. */
  readonly comids: readonly { readonly tagId: string; readonly triples: readonly ReferenceTriple[] }[];
}

const invalid = (sentence: string, cause?: unknown): CocosError =>
  new CocosError('REFERENCE_INVALID', `CoRIM: ${sentence}`, { cause });

const digestsOut = (digests: readonly CorimDigest[]) =>
  digests.map(({ hash, value }) => [HASH_NUMBERS[hash], value]);

function measurementOut(measurement: Measurement): Map<number, unknown> {
  const { version, digests, raw, name, registers } = measurement;
  const values = new Map<number, unknown>();
  if (version !== undefined) values.set(VALUES.version, new Map([[0, version]]));
  if (digests !== undefined) values.set(VALUES.digests, digestsOut(digests));
  if (raw !== undefined) values.set(VALUES.raw, new Tagged(TAG.bytes, raw));
  if (name !== undefined) values.set(VALUES.name, name);
  if (registers !== undefined) {
    values.set(VALUES.registers, new Map([...registers].map(([index, list]) => [index, digestsOut(list)])));
  }
  return new Map<number, unknown>([
    [MEASUREMENT.key, measurement.key],
    [MEASUREMENT.value, values],
  ]);
}

function tripleOut({ vendor, model, measurements }: ReferenceTriple): unknown[] {
  const named = new Map([
    [CLASS.vendor, vendor],
    [CLASS.model, model],
  ]);
  return [new Map([[ENVIRONMENT.class, named]]), measurements.map(measurementOut)];
}

const bytesOut = (value: unknown): Uint8Array => new Uint8Array(encode(value, rfc8949EncodeOptions));

/** Writes an unsigned CoRIM: tag 501, in deterministic CBOR. */
export function encodeCorim(corim: Corim): Uint8Array {
  const tags = corim.comids.map(({ tagId, triples }) => {
    const comid = new Map<number, unknown>([
      [
        COMID.tagIdentity,
        new Map<number, unknown>([
          [TAG_IDENTITY.id, tagId],
          [TAG_IDENTITY.version, 0],
        ]),
      ],
      [COMID.triples, new Map([[TRIPLES.reference, triples.map(tripleOut)]])],
    ]);
    return new Tagged(TAG.comid, bytesOut(comid));
  });
  return bytesOut(
    new Tagged(
      TAG.corim,
      new Map<number, unknown>([
        [CORIM.id, corim.id],
        [CORIM.tags, tags],
      ]),
    ),
  );
}

function decodeTagged(bytes: Uint8Array): unknown {
  try {
    // Identifiers may be UUIDs (37), OIDs (111) or URIs (32); they are parsed and ignored.
    const tags = Tagged.preserve(TAG.corim, TAG.comid, TAG.bytes, 1, 32, 37, 111, 505, 552, 553);
    const value: unknown = decode(bytes, { useMaps: true, rejectDuplicateMapKeys: true, strict: true, tags });
    return value;
  } catch (cause) {
    throw invalid('not CBOR', cause);
  }
}

function map(value: unknown, what: string): ReadonlyMap<unknown, unknown> {
  if (!(value instanceof Map)) throw invalid(`${what} is not a map`);
  return value;
}

function list(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(`${what} is not a list`);
  return value;
}

function text(value: unknown): string | undefined {
  if (typeof value === 'string' || typeof value === 'number') return String(value);
  return undefined;
}

function digestsIn(value: unknown): CorimDigest[] {
  return list(value, 'digests').flatMap((item) => {
    const [number, bytes] = list(item, 'a digest');
    const hash = Object.entries(HASH_NUMBERS).find(([name, id]) => id === number || name === number)?.[0];
    if (!(bytes instanceof Uint8Array)) throw invalid('a digest is not a byte string');
    return hash === 'sha256' || hash === 'sha384' || hash === 'sha512' ? [{ hash, value: bytes }] : [];
  });
}

function registersIn(value: unknown): Map<number, CorimDigest[]> {
  const registers = new Map<number, CorimDigest[]>();
  for (const [index, digests] of map(value, 'integrity registers')) {
    if (typeof index === 'number') registers.set(index, digestsIn(digests));
  }
  return registers;
}

function measurementIn(value: unknown): Measurement {
  const measurement = map(value, 'a measurement');
  const values = map(measurement.get(MEASUREMENT.value), 'measurement values');
  const version = values.has(VALUES.version)
    ? text(map(values.get(VALUES.version), 'a version').get(0))
    : undefined;
  const raw = values.get(VALUES.raw);
  const rawBytes = raw instanceof Tagged ? (raw.value as unknown) : raw;
  return {
    key: text(measurement.get(MEASUREMENT.key)) ?? '',
    version,
    digests: values.has(VALUES.digests) ? digestsIn(values.get(VALUES.digests)) : undefined,
    raw: rawBytes instanceof Uint8Array ? rawBytes : undefined,
    name: text(values.get(VALUES.name)),
    registers: values.has(VALUES.registers) ? registersIn(values.get(VALUES.registers)) : undefined,
  };
}

function tripleIn(value: unknown): ReferenceTriple {
  const [environment, measurements] = list(value, 'a triple');
  const named = map(map(environment, 'an environment').get(ENVIRONMENT.class) ?? new Map(), 'a class');
  return {
    vendor: text(named.get(CLASS.vendor)) ?? '',
    model: text(named.get(CLASS.model)) ?? '',
    measurements: list(measurements, 'measurements').map(measurementIn),
  };
}

function comidIn(tag: unknown): Corim['comids'] {
  // Other tags (CoSWID) are ignored.
  if (!(tag instanceof Tagged) || tag.tag !== TAG.comid) return [];
  const content: unknown = tag.value;
  if (!(content instanceof Uint8Array)) throw invalid('a CoMID is not a byte string');
  const comid = map(decodeTagged(content), 'a CoMID');
  const identity = map(comid.get(COMID.tagIdentity), 'a tag identity');
  const triples = map(comid.get(COMID.triples), 'triples').get(TRIPLES.reference);
  return [
    {
      tagId: text(identity.get(TAG_IDENTITY.id)) ?? '',
      triples: triples === undefined ? [] : list(triples, 'reference triples').map(tripleIn),
    },
  ];
}

/** Whether bytes begin as an unsigned CoRIM does. */
export function looksLikeCorim(bytes: Uint8Array): boolean {
  return bytes[0] === 0xd9 && bytes[1] === 0x01 && bytes[2] === 0xf5;
}

/**
 * Reads an unsigned CoRIM. Content other than the reference values above is ignored.
 *
 * @throws CocosError REFERENCE_INVALID
 */
export function decodeCorim(bytes: Uint8Array): Corim {
  if (bytes.length > MAX_CORIM_BYTES) throw invalid(`larger than ${MAX_CORIM_BYTES} bytes`);
  const top = decodeTagged(bytes);
  if (!(top instanceof Tagged) || top.tag !== TAG.corim) throw invalid('no tag 501');
  const corim = map(top.value, 'a CoRIM');
  return {
    id: text(corim.get(CORIM.id)) ?? '',
    comids: list(corim.get(CORIM.tags), 'tags').flatMap(comidIn),
  };
}
