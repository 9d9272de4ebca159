import { describe, expect, it } from 'vitest';
import { parsePolicy } from '../../../src/attestation/policy.ts';
import { parseReferenceValues } from '../../../src/attestation/reference.ts';
import { referenceJson } from '../../fakes/emulated-host.ts';

const root = `sha256:${'a'.repeat(64)}`;

describe('parsePolicy', () => {
  const refused = expect.objectContaining({ code: 'POLICY_INVALID' });

  it('fills in the strict side of every rule', () => {
    expect(parsePolicy({ version: 1, platforms: ['snp'] })).toEqual({
      version: 1,
      platforms: ['snp'],
      allowDebug: false,
      allowMigration: false,
      snp: {
        endorsementKeys: ['vcek'],
        trustedRoots: [],
        requireRevocationList: false,
        allowProvisionalFirmware: true,
        allowSmt: true,
        requireSingleSocket: false,
        requireAliasCheck: false,
        platformInfo: { required: [], forbidden: [] },
        vmpl: 0,
        minimumTcb: {},
        minimumCommittedTcb: {},
        minimumLaunchTcb: {},
        minimumCurrentTcb: {},
        minimumGuestSvn: 0,
      },
      tdx: {
        trustedRoots: [],
        requireRevocationLists: true,
        acceptedStatuses: ['UpToDate'],
        refusedAdvisories: [],
        requireSeptVeDisable: true,
      },
      vtpm: {
        required: false,
        banks: ['sha256', 'sha384', 'sha512'],
        requiredPcrs: [],
        pcrs: {},
        requireEventLog: false,
        requireSafeClock: false,
        unloggedPcrs: [],
        trustedRoots: [],
      },
      dice: { required: false, allowedModes: ['normal'], rootKeys: [] },
    });
  });

  it('takes the emulated platform only with a pinned root', () => {
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
  ])('refuses %s', (_, json) => {
    expect(() => parsePolicy(json)).toThrowError(refused);
  });

  it('says which member is wrong', () => {
    const call = () => parsePolicy({ version: 1, platforms: ['snp'], snp: { vmpl: 9 } });
    expect(call).toThrowError(
      expect.objectContaining({ details: { problems: [expect.stringContaining('vmpl')] } }),
    );
  });
});

describe('parseReferenceValues', () => {
  const refused = expect.objectContaining({ code: 'REFERENCE_INVALID' });

  it('takes what the image builder writes', () => {
    expect(parseReferenceValues({ ...referenceJson, files: { vmlinuz: '2'.repeat(64) } })).toMatchObject(
      referenceJson,
    );
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
    expect(() => parseReferenceValues({ ...referenceJson, ...change })).toThrowError(refused);
  });
});
