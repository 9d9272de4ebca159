import { bytesToHex, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import { CocosError } from '../../errors.ts';
import { parseStrictJson } from '../encoding/strict-json.ts';
import {
  onlyBuild,
  parseReferenceValues,
  type ReferenceBuild,
  type ReferenceValues,
  referenceValues,
} from '../policy/reference.ts';
import { isoTime } from '../x509/time.ts';
import { type Corim, type CorimHash, decodeCorim, encodeCorim, type Measurement } from './comid.ts';

/**
 * Converts reference values to a CoRIM with one CoMID for each build, and back. The triples of one CoMID are one build:
 * those of several are never mixed. Each component is a measurement with its digest under a text key. Values without a
 * digest (names of vCPU types, the command line) are JSON in a raw value.
 */

type Comid = Corim['comids'][number];

const VENDOR = 'CocosAI';
const MODEL = 'EOS';
const HASH_OF_BYTES: Readonly<Record<number, CorimHash>> = { 32: 'sha256', 48: 'sha384', 64: 'sha512' };

const invalid = (sentence: string, cause?: unknown): CocosError =>
  new CocosError('REFERENCE_INVALID', `CoRIM: ${sentence}`, { cause });

function digest(hex: string) {
  const value = hexToBytes(hex);
  const hash = HASH_OF_BYTES[value.length];
  if (hash === undefined) throw invalid(`a digest of ${value.length} bytes`);
  return { hash, value };
}

const json = (key: string, value: unknown): Measurement => ({ key, raw: utf8ToBytes(JSON.stringify(value)) });
const one = (key: string, hex: string, name?: string): Measurement => ({ key, digests: [digest(hex)], name });

const RTMRS = ['rtmr0', 'rtmr1', 'rtmr2', 'rtmr3'] as const;

function measurementsOf(values: ReferenceBuild): Measurement[] {
  const { vm, process, tdx, vtpm, dice, files } = values;
  const list: Measurement[] = [{ key: 'eos', version: values.eosVersion }];
  if (vm !== undefined) {
    const { firmware, kernel, initrd, ...launch } = vm;
    list.push(
      one('vm.firmware', firmware.sha256, firmware.name),
      one('vm.firmware-state', firmware.state),
      one('vm.kernel', kernel.sha256, kernel.name),
      one('vm.initrd', initrd.sha256, initrd.name),
      json('vm.launch', { ...launch, layout: firmware.layout }),
    );
  }
  if (process !== undefined) {
    list.push(one('process.agent', process.agent), one('process.runtime', process.runtime));
    if (process.commandLine !== undefined) list.push(json('process.command-line', process.commandLine));
  }
  if (tdx !== undefined) {
    list.push(one('tdx.mrtd', tdx.mrtd));
    const registers = RTMRS.flatMap((name, index) => {
      const value = tdx[name];
      return value === undefined ? [] : [[index, [digest(value)]] as const];
    });
    list.push({ key: 'tdx.rtmrs', registers: new Map(registers) });
  }
  if (vtpm !== undefined) {
    const registers = Object.entries(vtpm.pcrs).map(
      ([pcr, value]) => [Number(pcr), [digest(value)]] as const,
    );
    list.push({ key: 'vtpm.pcrs', registers: new Map(registers) });
    list.push(json('vtpm.log', { bank: vtpm.bank, events: vtpm.events }));
  }
  if (dice !== undefined) list.push(json('dice', dice));
  list.push(...Object.entries(files).map(([name, hex]) => one(`file/${name}`, hex)));
  return list;
}

/** Reference values as an unsigned CoRIM. */
export function referenceToCorim({ builds }: ReferenceValues): Uint8Array {
  const [first] = builds;
  const comids = builds.map((build) => ({
    tagId: build.name,
    triples: [{ vendor: VENDOR, model: MODEL, measurements: measurementsOf(build) }],
  }));
  return encodeCorim({ id: `cocosai-eos-${first.eosVersion}`, comids });
}

type Member = 'version' | 'digests' | 'raw' | 'registers';

/** What each measurement consists of; files are measured as `file/NAME`. */
const MEMBERS: Readonly<Record<string, readonly [member: Member, mayHaveName: boolean]>> = {
  eos: ['version', false],
  'vm.firmware': ['digests', true],
  'vm.firmware-state': ['digests', false],
  'vm.kernel': ['digests', true],
  'vm.initrd': ['digests', true],
  'vm.launch': ['raw', false],
  'process.agent': ['digests', false],
  'process.runtime': ['digests', false],
  'process.command-line': ['raw', false],
  'tdx.mrtd': ['digests', false],
  'tdx.rtmrs': ['registers', false],
  'vtpm.pcrs': ['registers', false],
  'vtpm.log': ['raw', false],
  dice: ['raw', false],
};
const FILE: (typeof MEMBERS)[string] = ['digests', false];

/** Every part of a measurement is used, or refused: a value that is not compared would seem to be. */
function checkMeasurement({ key, name, ...values }: Measurement): void {
  const known = key.startsWith('file/') ? FILE : Object.hasOwn(MEMBERS, key) ? MEMBERS[key] : undefined;
  if (known === undefined) throw invalid(`unknown measurement '${key}'`);
  const [member, mayHaveName] = known;
  const found = Object.entries(values).flatMap(([other, value]) => (value === undefined ? [] : [other]));
  if (found.length !== 1 || found[0] !== member)
    throw invalid(`${key} has ${found.join(' and ') || 'no value'}, expected ${member} alone`);
  if (name !== undefined && !mayHaveName) throw invalid(`${key} has a name`);
  const registers = [...(values.registers?.keys() ?? [])];
  const unknown = key === 'tdx.rtmrs' ? registers.find((index) => RTMRS[index] === undefined) : undefined;
  if (unknown !== undefined) throw invalid(`${key} has the unknown register ${unknown}`);
}

/** Measurements of EOS in one CoMID; none if it describes something else. */
function ownMeasurements({ triples }: Comid): Map<string, Measurement> {
  const own = triples.filter(({ vendor, model }) => vendor === VENDOR && model === MODEL);
  const found = new Map<string, Measurement>();
  for (const measurement of own.flatMap(({ measurements }) => measurements)) {
    checkMeasurement(measurement);
    if (found.has(measurement.key)) throw invalid(`${measurement.key} occurs twice in one CoMID`);
    found.set(measurement.key, measurement);
  }
  return found;
}

/**
 * Reference values from a CoRIM that describes EOS.
 *
 * @param at milliseconds since 1970, which rim-validity must include
 * @throws CocosError REFERENCE_INVALID
 */
export function referenceFromCorim(bytes: Uint8Array, at: number): ReferenceValues {
  const { comids, validity } = decodeCorim(bytes);
  if (validity !== undefined && (at < validity.notBefore || at > validity.notAfter))
    throw invalid(
      `valid from ${isoTime(validity.notBefore)} to ${isoTime(validity.notAfter)} (rim-validity), not at ${isoTime(at)}`,
    );
  const builds = comids.flatMap((comid) => {
    const found = ownMeasurements(comid);
    return found.size === 0 ? [] : [buildOf(comid.tagId, found)];
  });
  if (builds.length === 0) throw invalid(`no reference values of ${VENDOR} ${MODEL}`);
  return referenceValues(builds);
}

function buildOf(name: string, found: ReadonlyMap<string, Measurement>): ReferenceBuild {
  const hex = (key: string): string | undefined => {
    const value = found.get(key)?.digests?.[0]?.value;
    return value === undefined ? undefined : bytesToHex(value);
  };
  const hexes = (digests: Measurement['digests']) => digests?.map(({ value }) => bytesToHex(value));
  const parsed = (key: string): unknown => {
    const raw = found.get(key)?.raw;
    if (raw === undefined) return undefined;
    try {
      return parseStrictJson(new TextDecoder('utf-8', { fatal: true }).decode(raw));
    } catch (cause) {
      throw invalid(`${key} is not JSON`, cause);
    }
  };
  /** Members of a raw value; those that have a measurement of their own are refused. */
  const object = (key: string, elsewhere: readonly string[]): Record<string, unknown> => {
    const value = found.has(key) ? parsed(key) : {};
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw invalid(`${key} is not a JSON object`);
    const twice = elsewhere.find((name) => name in value);
    if (twice !== undefined) throw invalid(`${key} has the member '${twice}', which has its own measurement`);
    return { ...value };
  };
  /** A part of the build, if any measurement is of it; the schema then demands all of them. */
  const part = (prefix: string, value: () => unknown): unknown =>
    [...found.keys()].some((key) => key.startsWith(prefix)) ? value() : undefined;
  const file = (key: string) => ({ name: found.get(key)?.name, sha256: hex(key) });
  const { layout, ...launch } = object('vm.launch', ['firmware', 'kernel', 'initrd']);
  const firmware = {
    ...file('vm.firmware'),
    state: hex('vm.firmware-state'),
    ...(layout === undefined ? {} : { layout }),
  };
  const rtmrs = found.get('tdx.rtmrs')?.registers;
  const pcrs = found.get('vtpm.pcrs')?.registers ?? new Map();
  const json = {
    version: 1,
    ...(name === '' ? {} : { name }),
    eosVersion: found.get('eos')?.version,
    vm: part('vm.', () => ({
      firmware,
      kernel: file('vm.kernel'),
      initrd: file('vm.initrd'),
      ...launch,
    })),
    process: part('process.', () => ({
      agent: hex('process.agent'),
      runtime: hex('process.runtime'),
      commandLine: parsed('process.command-line'),
    })),
    tdx: part('tdx.', () => ({
      mrtd: hexes(found.get('tdx.mrtd')?.digests),
      ...Object.fromEntries(RTMRS.map((name, index) => [name, hexes(rtmrs?.get(index))])),
    })),
    vtpm: part('vtpm.', () => ({
      ...object('vtpm.log', ['pcrs']),
      pcrs: Object.fromEntries([...pcrs].map(([pcr, digests]) => [String(pcr), hexes(digests)])),
    })),
    dice: parsed('dice'),
    files: Object.fromEntries(
      [...found.keys()]
        .filter((key) => key.startsWith('file/'))
        .map((key) => [key.slice('file/'.length), hex(key)]),
    ),
  };
  return onlyBuild(parseReferenceValues(json));
}
