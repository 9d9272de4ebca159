import { decode, encode, rfc8949EncodeOptions, Tagged } from 'cborg';
import type { HashName } from '../../crypto/crypto-port.ts';
import { CocosError } from '../../errors.ts';

/**
 * CoRIM and CoMID (draft-ietf-rats-corim): reference values in CBOR, as far as measurements with digests, versions,
 * names, raw values and integrity registers go.
 */

const MAX_CORIM_BYTES = 4 * 1024 * 1024;
const TAG = { time: 1, corim: 501, comid: 506, bytes: 560 } as const;
const CORIM = { id: 0, tags: 1, validity: 4, entities: 5 } as const;
const COMID = { language: 0, tagIdentity: 1, entities: 2, triples: 4 } as const;
const VALIDITY = { notBefore: 0, notAfter: 1 } as const;
const VERSION = { version: 0, scheme: 1 } as const;
const TAG_IDENTITY = { id: 0, version: 1 } as const;
const TRIPLES = { reference: 0 } as const;
const ENVIRONMENT = { class: 0 } as const;
const CLASS = { vendor: 1, model: 2 } as const;
const MEASUREMENT = { key: 0, value: 1 } as const;
const VALUES = { version: 0, digests: 2, raw: 4, name: 11, registers: 14 } as const;

/** Numbers of hashes in the Named Information registry, which CoRIM's digests use. */
const HASH_NUMBERS: Readonly<Record<Exclude<HashName, 'sha1'>, number>> = { sha256: 1, sha384: 7, sha512: 8 };
export type CorimHash = keyof typeof HASH_NUMBERS;
const HASH_BYTES: Readonly<Record<CorimHash, number>> = { sha256: 32, sha384: 48, sha512: 64 };

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
  /** Milliseconds since 1970, both ends included; undefined for a CoRIM without rim-validity. */
  readonly validity?: { readonly notBefore: number; readonly notAfter: number } | undefined;
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
    const tags = Tagged.preserve(TAG.corim, TAG.comid, TAG.bytes, TAG.time, 32, 37, 111, 505, 552, 553);
    const value: unknown = decode(bytes, { useMaps: true, rejectDuplicateMapKeys: true, strict: true, tags });
    return value;
  } catch (cause) {
    throw invalid('not CBOR', cause);
  }
}

/** A map that has no other keys than these: what is not read must not be there, since it may change the meaning. */
function map(
  value: unknown,
  what: string,
  keys: Readonly<Record<string, number>>,
): ReadonlyMap<unknown, unknown> {
  if (!(value instanceof Map)) throw invalid(`${what} is not a map`);
  for (const key of value.keys())
    if (!Object.values(keys).some((known) => known === key))
      throw invalid(`${what} has the unknown key ${key}`);
  return value;
}

function list(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(`${what} is not a list`);
  return value;
}

function text(value: unknown, what: string): string {
  if (typeof value === 'string') return value;
  throw invalid(`${what} is not a text`);
}

/** An id names nothing that is compared, and may be a UUID, which is not shown. */
const idIn = (value: unknown): string => (typeof value === 'string' ? value : '');

/** One digest: of several, only one could be compared. */
function digestsIn(value: unknown, place: string): CorimDigest[] {
  const digests = list(value, `digests of ${place}`);
  if (digests.length !== 1) throw invalid(`${place} has ${digests.length} digests, expected one`);
  const [number, bytes, ...more] = list(digests[0], `the digest of ${place}`);
  const hash = (['sha256', 'sha384', 'sha512'] as const).find(
    (name) => name === number || HASH_NUMBERS[name] === number,
  );
  if (hash === undefined) throw invalid(`the digest of ${place} has the unknown algorithm ${String(number)}`);
  if (!(bytes instanceof Uint8Array) || bytes.length !== HASH_BYTES[hash] || more.length > 0)
    throw invalid(`the digest of ${place} is not a byte string of ${HASH_BYTES[hash]} bytes`);
  return [{ hash, value: bytes }];
}

function registersIn(value: unknown, place: string): Map<number, CorimDigest[]> {
  const registers = new Map<number, CorimDigest[]>();
  if (!(value instanceof Map)) throw invalid(`integrity registers of ${place} are not a map`);
  for (const [index, digests] of value) {
    if (typeof index !== 'number')
      throw invalid(`${place} has the register '${String(index)}': expected the number of a register`);
    registers.set(index, digestsIn(digests, `register ${index} of ${place}`));
  }
  return registers;
}

function rawIn(value: unknown, place: string): Uint8Array {
  const bytes: unknown = value instanceof Tagged && value.tag === TAG.bytes ? value.value : value;
  if (bytes instanceof Uint8Array) return bytes;
  throw invalid(`the raw value of ${place} is not a byte string`);
}

function measurementIn(value: unknown): Measurement {
  const measurement = map(value, 'a measurement', MEASUREMENT);
  const key = text(measurement.get(MEASUREMENT.key), 'the key of a measurement');
  const values = map(measurement.get(MEASUREMENT.value), `the value of ${key}`, VALUES);
  const member = <T>(number: number, read: (found: unknown) => T): T | undefined =>
    values.has(number) ? read(values.get(number)) : undefined;
  const versionIn = (found: unknown): string =>
    text(map(found, `the version of ${key}`, VERSION).get(VERSION.version), `the version of ${key}`);
  return {
    key,
    version: member(VALUES.version, versionIn),
    digests: member(VALUES.digests, (found) => digestsIn(found, key)),
    raw: member(VALUES.raw, (found) => rawIn(found, key)),
    name: member(VALUES.name, (found) => text(found, `the name of ${key}`)),
    registers: member(VALUES.registers, (found) => registersIn(found, key)),
  };
}

function tripleIn(value: unknown): ReferenceTriple {
  const [environment, measurements, ...more] = list(value, 'a triple');
  if (more.length > 0) throw invalid('a triple has more than an environment and measurements');
  const own = map(environment, 'an environment', ENVIRONMENT);
  const named = map(own.get(ENVIRONMENT.class), 'a class', CLASS);
  return {
    vendor: text(named.get(CLASS.vendor), 'the vendor of a class'),
    model: text(named.get(CLASS.model), 'the model of a class'),
    measurements: list(measurements, 'measurements').map(measurementIn),
  };
}

function comidIn(tag: unknown): Corim['comids'][number] {
  if (!(tag instanceof Tagged) || tag.tag !== TAG.comid) throw invalid('a tag is not a CoMID (tag 506)');
  const content: unknown = tag.value;
  if (!(content instanceof Uint8Array)) throw invalid('a CoMID is not a byte string');
  const comid = map(decodeTagged(content), 'a CoMID', COMID);
  const identity = map(comid.get(COMID.tagIdentity), 'a tag identity', TAG_IDENTITY);
  const tagId = idIn(identity.get(TAG_IDENTITY.id));
  const triples = map(comid.get(COMID.triples), `the triples of CoMID '${tagId}'`, TRIPLES);
  return { tagId, triples: list(triples.get(TRIPLES.reference), 'reference triples').map(tripleIn) };
}

/** A time (RFC 8949 3.4.2) in milliseconds since 1970. */
function timeIn(value: unknown, what: string): number {
  const seconds: unknown = value instanceof Tagged && value.tag === TAG.time ? value.value : undefined;
  if (typeof seconds === 'number' && Number.isFinite(seconds)) return seconds * 1000;
  throw invalid(`${what} of rim-validity is not a time`);
}

function validityIn(value: unknown): Corim['validity'] {
  const validity = map(value, 'rim-validity', VALIDITY);
  const { notBefore, notAfter } = VALIDITY;
  return {
    notBefore: validity.has(notBefore) ? timeIn(validity.get(notBefore), 'the start') : 0,
    notAfter: timeIn(validity.get(notAfter), 'the end'),
  };
}

/** Whether bytes begin as an unsigned CoRIM does. */
export function looksLikeCorim(bytes: Uint8Array): boolean {
  return bytes[0] === 0xd9 && bytes[1] === 0x01 && bytes[2] === 0xf5;
}

/**
 * Reads an unsigned CoRIM. Content other than the reference values above is an error that names its place: a part that is
 * not understood may restrict the others.
 *
 * @throws CocosError REFERENCE_INVALID
 */
export function decodeCorim(bytes: Uint8Array): Corim {
  if (bytes.length > MAX_CORIM_BYTES) throw invalid(`larger than ${MAX_CORIM_BYTES} bytes`);
  const top = decodeTagged(bytes);
  if (!(top instanceof Tagged) || top.tag !== TAG.corim) throw invalid('no tag 501');
  const corim = map(top.value, 'a CoRIM', CORIM);
  return {
    id: idIn(corim.get(CORIM.id)),
    ...(corim.has(CORIM.validity) ? { validity: validityIn(corim.get(CORIM.validity)) } : {}),
    comids: list(corim.get(CORIM.tags), 'tags').map(comidIn),
  };
}
