import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { parseStrictJson } from '../../../src/attestation/encoding/strict-json.ts';
import { parsePolicy } from '../../../src/attestation/policy/policy.ts';
import { onlyBuild, parseReferenceValues } from '../../../src/attestation/policy/reference.ts';
import { referenceJson } from '../../fakes/emulated-host.ts';

/** Whether the published schema accepts a value; only `parsePolicy` checks the rule across members here. */
function bySchema(name: string, json: unknown): boolean {
  const file = new URL(`../../../docs/schema/${name}.schema.json`, import.meta.url);
  const { if: _, then: __, ...schema } = z.looseObject({}).parse(JSON.parse(readFileSync(file, 'utf8')));
  return z.fromJSONSchema(schema).safeParse(json).success;
}

const root = `sha256:${'a'.repeat(64)}`;

describe('parsePolicy', () => {
  const refused = expect.objectContaining({ code: 'POLICY_INVALID' });

  it('fills in the strict default of every rule', () => {
    expect(parsePolicy({ version: 1, platforms: ['snp'] })).toEqual({
      version: 1,
      platforms: ['snp'],
      allowDebug: false,
      allowMigration: false,
      snp: {
        endorsementKeys: ['vcek'],
        trustedRoots: [],
        requireRevocationList: true,
        allowProvisionalFirmware: true,
        allowSmt: true,
        requireSingleSocket: false,
        requireAliasCheck: false,
        allowMaskedChipId: false,
        requiredMitigations: {},
        platformInfo: { required: [], forbidden: [] },
        vmpl: 0,
        minimumTcb: { milan: { snp: 29 }, genoa: { snp: 27 }, turin: { snp: 4 } },
        minimumCommittedTcb: {},
        minimumLaunchTcb: {},
        minimumCurrentTcb: {},
        minimumGuestSvn: 0,
      },
      tdx: {
        trustedRoots: [],
        requireRevocationLists: true,
        requireSameEvaluation: false,
        acceptedStatuses: ['UpToDate'],
        refusedAdvisories: [],
        requireSeptVeDisable: true,
        acceptedEventQuirks: [],
      },
      vtpm: {
        required: false,
        banks: ['sha256', 'sha384', 'sha512'],
        requiredPcrs: [],
        pcrs: {},
        requireEventLog: false,
        acceptedEventQuirks: [],
        requireSafeClock: false,
        unloggedPcrs: [],
        trustedRoots: [],
      },
      dice: { required: false, allowedModes: ['normal'], rootKeys: [] },
    });
  });

  it('accepts the emulated platform only with a pinned root', () => {
    expect(() => parsePolicy({ version: 1, platforms: ['emulated'] })).toThrowError(refused);
    expect(parsePolicy({ version: 1, platforms: ['emulated'], emulatedRoot: root }).emulatedRoot).toBe(root);
  });

  it.each([
    ['nothing', null],
    ['no platform', { version: 1, platforms: [] }],
    ['a platform twice', { version: 1, platforms: ['snp', 'snp'] }],
    ['an unknown platform', { version: 1, platforms: ['sgx'] }],
    ['an unknown version', { version: 2, platforms: ['snp'] }],
    ['a misspelt rule', { version: 1, platforms: ['snp'], alowDebug: false }],
    [
      'a misspelt patch level',
      { version: 1, platforms: ['snp'], snp: { minimumTcb: { milan: { micro: 1 } } } },
    ],
    ['a root in another form', { version: 1, platforms: ['emulated'], emulatedRoot: 'a'.repeat(64) }],
    [
      'a patch level above one byte',
      { version: 1, platforms: ['snp'], snp: { minimumTcb: { milan: { snp: 256 } } } },
    ],
    ['an unknown TCB status', { version: 1, platforms: ['tdx'], tdx: { acceptedStatuses: ['Revoked'] } }],
    ['a PCR that does not exist', { version: 1, platforms: ['snp'], vtpm: { requiredPcrs: [24] } }],
  ])('refuses %s, and so does the published schema', (_, json) => {
    expect(() => parsePolicy(json)).toThrowError(refused);
    expect(bySchema('appraisal-policy', json)).toBe(false);
  });

  it.each([
    [{ version: 1, platforms: ['snp', 'tdx'] }],
    [{ version: 1, platforms: ['emulated'], emulatedRoot: root, maxAgeSeconds: 60 }],
    [
      {
        version: 1,
        platforms: ['snp'],
        allowDebug: true,
        snp: {
          endorsementKeys: ['vlek'],
          minimumTcb: { turin: { fmc: 1, microcode: 71 } },
          platformInfo: { required: ['ecc'], forbidden: ['smt'] },
          minimumFirmware: { major: 1, minor: 55 },
          chipIds: ['0'.repeat(128)],
        },
        tdx: { acceptedStatuses: ['UpToDate', 'OutOfDate'], minimumTcbDate: '2025-01-01T00:00:00Z' },
        vtpm: { pcrs: { sha256: { '7': 'a'.repeat(64) } } },
        dice: { layers: [{ codeHashes: ['b'.repeat(128)] }] },
      },
    ],
  ])('takes what the published schema takes: %j', (json) => {
    expect(bySchema('appraisal-policy', json)).toBe(true);
    expect(parsePolicy(json)).toMatchObject(json);
  });

  it('refuses lists of measurements that would accept mixtures of builds', () => {
    const [a, b] = ['a'.repeat(96), 'b'.repeat(96)];
    const tdx = (rules: object) => () => parsePolicy({ version: 1, platforms: ['tdx'], tdx: rules });
    expect(tdx({ mrtd: [a, b], rtmr1: [a, b] })).toThrowError(refused);
    expect(tdx({ rtmr1: [a, b], rtmr2: [a, b] })).toThrowError(refused);
    expect(tdx({ mrtd: [a, b], rtmr1: [a] })().tdx.mrtd).toEqual([a, b]);
    const dice = (layers: readonly object[]) => () =>
      parsePolicy({ version: 1, platforms: ['snp'], dice: { layers } });
    expect(dice([{ codeHashes: [a, b] }, { codeHashes: [a, b] }])).toThrowError(refused);
    expect(dice([{ codeHashes: [a, b], configurations: [a, b] }])).toThrowError(refused);
    expect(dice([{ codeHashes: [a, b] }, { codeHashes: [a] }])().dice.layers).toHaveLength(2);
  });

  it('refuses a duplicate member at any depth, however it is escaped', () => {
    const twice = expect.objectContaining({ code: 'INPUT_INVALID' });
    for (const text of [
      '{"version":1,"platforms":["snp"],"allowDebug":false,"allowDebug":true}',
      '{"version":1,"platforms":["snp"],"snp":{"vmpl":0,"vmpl" : 3}}',
      '{"version":1,"platforms":["snp"],"allowDebug":false,"allow\\u0044ebug":true}',
      '{"a":[{"b":"\\"","c":1},{"b":1,"b":2}]}',
    ])
      expect(() => parseStrictJson(text)).toThrowError(twice);
    expect(parseStrictJson('{"a":{"b":"b"},"b":["a","a:",{"a":"\\\\"}]}')).toEqual({
      a: { b: 'b' },
      b: ['a', 'a:', { a: '\\' }],
    });
    const special = '{"version":1,"platforms":["snp"],"__proto__":{}}';
    expect(() => parseStrictJson(special)).toThrowError(twice);
    expect(() => parsePolicy(JSON.parse(special))).toThrowError(refused);
  });

  it('names the invalid member', () => {
    const call = () => parsePolicy({ version: 1, platforms: ['snp'], snp: { vmpl: 9 } });
    expect(call).toThrowError(
      expect.objectContaining({ message: expect.stringMatching(/ snp\.vmpl: expected .*, found 9\.$/) }),
    );
  });
});

describe('parseReferenceValues', () => {
  const refused = expect.objectContaining({ code: 'REFERENCE_INVALID' });

  it('accepts the output of the image builder', () => {
    const { version: _, ...values } = referenceJson;
    const file = { ...referenceJson, files: { vmlinuz: '2'.repeat(64) } };
    expect(onlyBuild(parseReferenceValues(file))).toMatchObject(values);
    expect(bySchema('reference-values', file)).toBe(true);
  });

  it.each([
    ['no reference at all', { vm: undefined, process: undefined }],
    ['an unknown member', { vms: {} }],
    ['a digest with a prefix', { process: { ...referenceJson.process, agent: root } }],
    [
      'a short firmware state',
      { vm: { ...referenceJson.vm, firmware: { name: 'x', sha256: '0'.repeat(64), state: '1' } } },
    ],
    ['no vCPU type', { vm: { ...referenceJson.vm, vcpuTypes: [] } }],
  ])('refuses %s', (_, change) => {
    const json = { ...referenceJson, ...change };
    expect(() => parseReferenceValues(json)).toThrowError(refused);
  });
});
