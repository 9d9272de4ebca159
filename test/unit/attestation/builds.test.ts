import { beforeAll, describe, expect, it } from 'vitest';
import { appraise } from '../../../src/attestation/appraisal/appraise.ts';
import { appraiseLaunch } from '../../../src/attestation/appraisal/appraise-launch.ts';
import { formatVerdict, verdictToJson } from '../../../src/attestation/appraisal/format-verdict.ts';
import { CheckList } from '../../../src/attestation/appraisal/verdict.ts';
import { decodeCorim, encodeCorim } from '../../../src/attestation/corim/comid.ts';
import { referenceFromCorim, referenceToCorim } from '../../../src/attestation/corim/reference-corim.ts';
import { encodeEvidence } from '../../../src/attestation/evidence/evidence.ts';
import { measureLaunch } from '../../../src/attestation/measure/launch.ts';
import { onlyBuild, parseReferenceValues } from '../../../src/attestation/policy/reference.ts';
import { attestationCrypto } from '../../../src/crypto/attestation-crypto.ts';
import { NONCE, referenceJson, scene, testRoot, vmLog } from '../../fakes/emulated-host.ts';
import { createBoot } from '../../fakes/enclave-boot.ts';
import { extendAll } from '../../fakes/fake-tpm.ts';

beforeAll(async () => {
  await testRoot();
});

const boot = createBoot(1);
const pcr4 = Buffer.from(extendAll(boot.events).get(4) ?? []).toString('hex');
const { version: _, ...build } = referenceJson;
const refused = expect.objectContaining({ code: 'REFERENCE_INVALID' });

/** A launch of the emulated host with a quote whose PCR 4 is `pcr4`, appraised by these builds. */
async function verdictBy(...builds: readonly object[]) {
  const base = await scene({ claims: boot.claims });
  const vtpm = boot.quote(NONCE, base.bundle.claims);
  const reference = parseReferenceValues({ version: 1, builds });
  return appraise({
    ...base,
    reference,
    evidence: encodeEvidence({ ...base.bundle, nonce: NONCE, vtpm, dice: boot.dice }),
  });
}

const otherKernel = { ...build.vm, kernel: { name: 'vmlinuz', sha256: '9'.repeat(64) } };
const vtpm = (value: string) => ({ pcrs: { '4': value } });
const A = { ...build, name: 'A', vtpm: vtpm('00'.repeat(32)) };
const B = { ...build, name: 'B', vm: otherKernel, vtpm: vtpm(pcr4) };
const C = { ...build, name: 'C', vtpm: vtpm(pcr4) };

describe('evidence against several builds', () => {
  it('is refused with the launch digest of one build and the PCRs of another', async () => {
    const verdict = await verdictBy(A, B);
    expect(verdict).toMatchObject({
      outcome: 'rejected',
      failures: ['vtpm.pcrs'],
      build: { name: 'A', of: 2 },
    });
    expect(formatVerdict(verdict)).toContain('build:   A comes closest (2 in the reference values)');
    expect((await verdictBy(B, A)).failures).toEqual(['launch.kernel']);
  });

  it('is accepted if one build matches completely, and the verdict names it', async () => {
    for (const builds of [[A, B, C], [C, B, A], [C]]) {
      const verdict = await verdictBy(...builds);
      expect(verdict).toMatchObject({ outcome: 'accepted', build: { name: 'C', of: builds.length } });
      expect(verdictToJson(verdict)['build']).toEqual({ name: 'C', of: builds.length });
      expect(formatVerdict(verdict)).toContain('build:   C matches completely');
    }
  });
});

describe('a file of reference values', () => {
  const tdx = { mrtd: '1'.repeat(96), rtmr1: '2'.repeat(96), rtmr2: '3'.repeat(96) };
  const one = (change: object) => parseReferenceValues({ ...referenceJson, ...change });

  it('with lists of one value, as earlier versions wrote it, is read as one build', () => {
    const lists = { mrtd: [tdx.mrtd], rtmr1: [tdx.rtmr1], rtmr2: [tdx.rtmr2] };
    const read = onlyBuild(one({ tdx: lists, vtpm: { pcrs: { '4': [pcr4] } } }));
    expect(read).toMatchObject({ name: 'EOS eos-1', tdx, vtpm: { pcrs: { '4': pcr4 } } });
  });

  it.each<[string, object]>([
    ['an MRTD', { tdx: { ...tdx, mrtd: [tdx.mrtd, '9'.repeat(96)] } }],
    ['a runtime register', { tdx: { ...tdx, rtmr1: [tdx.rtmr1, '9'.repeat(96)] } }],
    ['a PCR', { vtpm: { pcrs: { '4': [pcr4, '0'.repeat(64)] } } }],
    ['a DICE layer', { dice: { layers: [{ codeHashes: ['a'.repeat(64), 'b'.repeat(64)] }] } }],
  ])('with several values of %s is refused, since it would accept mixtures of builds', (_, change) => {
    expect(() => one(change)).toThrowError(refused);
  });

  it.each(['mrtd', 'rtmr1', 'rtmr2'])(
    'for a trust domain without %s is refused, and the message says why',
    (name) => {
      const call = () => one({ tdx: { ...tdx, [name]: undefined } });
      expect(call).toThrowError(refused);
      expect(call).toThrowError(new RegExp(`tdx\\.${name}: .*another kernel`));
    },
  );

  it('is refused with two builds of one name, without a build, and with a build that starts nothing', () => {
    const list = (builds: readonly object[]) => () => parseReferenceValues({ version: 1, builds });
    expect(list([A, A])).toThrowError(refused);
    expect(list([])).toThrowError(refused);
    expect(list([A, { name: 'empty', eosVersion: '1' }])).toThrowError(refused);
    expect(list([{ ...build }])).toThrowError(refused);
    expect(list([A, B])().builds.map(({ name }) => name)).toEqual(['A', 'B']);
  });

  it('as CoRIM has one CoMID for each build, and triples of different CoMIDs are never mixed', () => {
    const values = parseReferenceValues({ version: 1, builds: [A, { ...B, tdx }] });
    expect(referenceFromCorim(referenceToCorim(values), 0)).toEqual(values);
    const { comids } = decodeCorim(referenceToCorim(values));
    expect(comids.map(({ tagId }) => tagId)).toEqual(['A', 'B']);
    const [first, second] = comids;
    const part = (comid: typeof first, keep: (key: string) => boolean) => ({
      tagId: comid?.tagId ?? '',
      triples: (comid?.triples ?? []).map((triple) => ({
        ...triple,
        measurements: triple.measurements.filter(({ key }) => keep(key)),
      })),
    });
    const halves = [
      part(first, (key) => !key.startsWith('vm.')),
      part(second, (key) => key.startsWith('vm.')),
    ];
    expect(() => referenceFromCorim(encodeCorim({ id: 'x', comids: halves }), 0)).toThrowError(refused);
  });
});

describe('a plain firmware layout', () => {
  /** Checks that fail for a launch that the reference values describe exactly. */
  const failuresOn = (platform: 'hardware' | 'emulated', log = vmLog, firmware: object = {}) => {
    const checks = new CheckList();
    const vm = { ...referenceJson.vm, firmware: { ...referenceJson.vm.firmware, ...firmware } };
    const reference = onlyBuild(parseReferenceValues({ ...referenceJson, vm }));
    const measurement = measureLaunch(log, attestationCrypto);
    appraiseLaunch(log, measurement, reference, platform === 'emulated', attestationCrypto, checks);
    return checks
      .finish()
      .checks.filter(({ outcome }) => outcome === 'failed')
      .map(({ name }) => name);
  };
  const measured = {
    hashesTable: 0x81_0c00,
    sections: [{ gpa: 0x80_d000, size: 0x1000, page: 'secrets' as const }],
    apEip: 0x80_b004,
  };

  it('is refused on hardware although launch and reference values agree, since it measures no kernel', () => {
    expect(failuresOn('hardware')).toEqual(['launch.firmware-layout']);
    expect(failuresOn('emulated')).toEqual([]);
  });

  it('is refused on hardware if it is written out', () => {
    const layout = { hashesTable: 0x81_0c00, sections: [], apEip: 0xffff_fff0 };
    const log = { ...vmLog, firmware: { ...vmLog.firmware, layout } };
    expect(failuresOn('hardware', log)).toEqual(['launch.firmware-layout']);
    expect(failuresOn('hardware', log, { layout })).toEqual(['launch.firmware-layout']);
  });

  it('of firmware with SEV metadata is accepted on hardware', () => {
    const log = { ...vmLog, firmware: { ...vmLog.firmware, layout: measured } };
    expect(failuresOn('hardware', log, { layout: measured })).toEqual([]);
    expect(failuresOn('hardware', log)).toEqual(['launch.firmware-layout']);
  });
});
