import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { decode, encode, rfc8949EncodeOptions, Tagged } from 'cborg';
import { afterAll, describe, expect, it } from 'vitest';
import { referenceFromCorim, referenceToCorim } from '../../../src/attestation/corim/reference-corim.ts';
import { parseReferenceValues } from '../../../src/attestation/policy/reference.ts';
import { runCli } from '../../fakes/cli.ts';
import { referenceJson } from '../../fakes/emulated-host.ts';

/** A CoRIM is read completely or refused: keys are those of draft-ietf-rats-corim. */

type Cbor = Map<unknown, unknown>;
const AT = Date.parse('2026-06-01T00:00:00Z');
const full = parseReferenceValues({
  ...referenceJson,
  tdx: { mrtd: '1'.repeat(96), rtmr1: '2'.repeat(96), rtmr2: '3'.repeat(96) },
  vtpm: { pcrs: { '4': 'a'.repeat(64) } },
});

const tags = Tagged.preserve(501, 506, 560, 1);
function asMap(value: unknown): Cbor {
  const content: unknown = value instanceof Tagged ? value.value : value;
  if (!(content instanceof Map)) throw new Error('not a map');
  return content;
}
function asList(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw new Error('not a list');
  return value;
}
const read = (bytes: unknown): unknown => {
  if (!(bytes instanceof Uint8Array)) throw new Error('not bytes');
  return decode(bytes, { useMaps: true, tags });
};
const written = (value: unknown): Uint8Array => new Uint8Array(encode(value, rfc8949EncodeOptions));

interface Parts {
  readonly corim: Cbor;
  readonly comid: Cbor;
  readonly environment: Cbor;
  readonly measurements: unknown[];
  /** A measurement by its key. */
  readonly of: (key: string) => Cbor;
  /** The values of a measurement. */
  readonly values: (key: string) => Cbor;
}

/** The CoRIM of the reference values with one change. */
function changed(change: (parts: Parts) => void): Uint8Array {
  const corim = asMap(read(referenceToCorim(full)));
  const [tag] = asList(corim.get(1));
  if (!(tag instanceof Tagged)) throw new Error('no CoMID');
  const comid = asMap(read(tag.value));
  const [environment, list] = asList(asList(asMap(comid.get(4)).get(0))[0]);
  const measurements = asList(list);
  const of = (key: string) => asMap(measurements.find((each) => asMap(each).get(0) === key));
  const values = (key: string) => asMap(of(key).get(1));
  change({ corim, comid, environment: asMap(environment), measurements, of, values });
  corim.set(1, [new Tagged(506, written(comid)), ...asList(corim.get(1)).slice(1)]);
  return written(new Tagged(501, corim));
}

const SHA256 = [1, new Uint8Array(32)];
const validity = (from: string, to: string) =>
  new Map([from, to].map((text, key) => [key, new Tagged(1, Date.parse(text) / 1000)]));
const renamed = (map: Cbor, name: (key: unknown) => unknown): Cbor =>
  new Map([...map].map(([key, value]) => [name(key), value]));
const json = (value: unknown) => new Tagged(560, new TextEncoder().encode(JSON.stringify(value)));
const registers = (key: string, name: (index: unknown) => unknown) => (parts: Parts) =>
  parts.values(key).set(14, renamed(asMap(parts.values(key).get(14)), name));

const REFUSED: readonly [string, string, (parts: Parts) => void][] = [
  ['registers with text indices', 'vtpm.pcrs', registers('vtpm.pcrs', (index) => `pcr${String(index)}`)],
  ['registers with numbers as text', 'tdx.rtmrs', registers('tdx.rtmrs', String)],
  ['a fifth runtime register', 'register 4', registers('tdx.rtmrs', (index) => Number(index) + 3)],
  [
    'a validity that is over',
    'rim-validity',
    ({ corim }) => corim.set(4, validity('2019-01-01', '2020-01-01')),
  ],
  [
    'a validity that begins later',
    'rim-validity',
    ({ corim }) => corim.set(4, validity('2027-01-01', '2028-01-01')),
  ],
  ['a validity that is no time', 'rim-validity', ({ corim }) => corim.set(4, new Map([[1, 'never']]))],
  ['two digests', 'vm.kernel', ({ values }) => values('vm.kernel').set(2, [SHA256, SHA256])],
  ['no digest', 'vm.kernel', ({ values }) => values('vm.kernel').set(2, [])],
  [
    'an unknown digest algorithm',
    'vm.kernel',
    ({ values }) => values('vm.kernel').set(2, [[99, new Uint8Array(32)]]),
  ],
  [
    'a digest of another length',
    'vm.kernel',
    ({ values }) => values('vm.kernel').set(2, [[7, new Uint8Array(32)]]),
  ],
  [
    'two digests of a register',
    'register 1 of tdx.rtmrs',
    ({ values }) => asMap(values('tdx.rtmrs').get(14)).set(1, [SHA256, SHA256]),
  ],
  ['an unknown key of a CoRIM', 'CoRIM has the unknown key 3', ({ corim }) => corim.set(3, 'profile')],
  ['an unknown key of a CoMID', 'CoMID has the unknown key 3', ({ comid }) => comid.set(3, [])],
  ['other triples', 'the unknown key 1', ({ comid }) => asMap(comid.get(4)).set(1, [])],
  ['a tag that is not a CoMID', 'not a CoMID', ({ corim }) => asList(corim.get(1)).push(new Tagged(501, 1))],
  ['an instance', 'an environment', ({ environment }) => environment.set(1, new Uint8Array(16))],
  ['a layer', 'a class', ({ environment }) => asMap(environment.get(0)).set(3, 1)],
  ['an authority', 'a measurement', ({ of }) => of('eos').set(2, [])],
  ['a security version', 'the value of vm.kernel', ({ values }) => values('vm.kernel').set(1, 5)],
  [
    'a name where none is compared',
    'process.agent has a name',
    ({ values }) => values('process.agent').set(11, 'x'),
  ],
  ['a digest in place of a raw value', 'vm.launch', ({ values }) => values('vm.launch').set(2, [SHA256])],
  ['an unknown measurement', 'vm.kernal', ({ of }) => of('vm.kernel').set(0, 'vm.kernal')],
  [
    'a part that lacks its kernel',
    'vm',
    ({ measurements, of }) => measurements.splice(measurements.indexOf(of('vm.kernel')), 1),
  ],
  [
    'a raw value that names the kernel',
    'vm.launch',
    ({ values }) => values('vm.launch').set(4, json({ kernel: {} })),
  ],
  ['a raw value that names PCRs', 'vtpm.log', ({ values }) => values('vtpm.log').set(4, json({ pcrs: {} }))],
  ['a raw value that is a list', 'vtpm.log', ({ values }) => values('vtpm.log').set(4, json([]))],
];

describe('A CoRIM', () => {
  it('is read with entities, a language and a validity that includes the time', () => {
    const bytes = changed(({ corim, comid }) => {
      corim.set(4, validity('2020-01-01', '2030-01-01')).set(5, []);
      comid.set(0, 'en').set(2, []);
    });
    expect(referenceFromCorim(bytes, AT)).toEqual(full);
    expect(
      referenceFromCorim(
        changed(() => undefined),
        AT,
      ),
    ).toEqual(full);
  });

  it.each(REFUSED)('is refused with %s, and the message names the place', (_, place, change) => {
    const call = () => referenceFromCorim(changed(change), AT);
    expect(call).toThrowError(expect.objectContaining({ code: 'REFERENCE_INVALID' }));
    expect(call).toThrowError(place);
  });
});

describe('attestation verify', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'cocos-corim-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const write = (name: string, content: string | Uint8Array): string => {
    const file = path.join(folder, name);
    writeFileSync(file, content);
    return file;
  };

  it('refuses a CoRIM that is over, and names the file', async () => {
    const reference = write(
      'over.corim',
      changed(({ corim }) => corim.set(4, validity('2019-01-01', '2020-01-01'))),
    );
    const run = await runCli(
      ...['attestation', 'verify', write('evidence.bin', new Uint8Array(8))],
      ...['--policy', write('policy.json', JSON.stringify({ version: 1, platforms: ['snp'] }))],
      ...['--reference', reference],
    );
    expect(run).toMatchObject({ exit: 65, error: 'REFERENCE_INVALID' });
    expect(run.message).toContain(reference);
  });
});
