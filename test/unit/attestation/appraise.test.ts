import { beforeAll, describe, expect, it } from 'vitest';
import type { AppraisalInput } from '../../../src/attestation/appraisal/appraisal.ts';
import { appraise } from '../../../src/attestation/appraisal/appraise.ts';
import { bundleScope, CHECK_NAMES } from '../../../src/attestation/appraisal/checks.ts';
import type { Verdict } from '../../../src/attestation/appraisal/verdict.ts';
import { authorityExtensions } from '../../../src/attestation/emulated/issue.ts';
import { createSecurityProcessor } from '../../../src/attestation/emulated/processor.ts';
import type { DevelopmentRoot } from '../../../src/attestation/emulated/root.ts';
import { encodeEvidence } from '../../../src/attestation/evidence/evidence.ts';
import {
  amd,
  authority,
  claims,
  DAY,
  MANIFEST,
  NOW,
  type SceneOptions,
  scene,
  testRoot,
  vcekExtensions,
} from '../../fakes/emulated-host.ts';

let root: DevelopmentRoot;
beforeAll(async () => {
  root = await testRoot();
});

const mutableClaims = { ...claims, kemKeys: [...claims.kemKeys] };
const failuresOf = async (options: SceneOptions, change: Partial<AppraisalInput> = {}) =>
  appraise({ ...(await scene(options)), ...change }).failures;
const outcome = (verdict: Verdict, name: string) =>
  verdict.checks.find((check) => check.name === name)?.outcome;

describe('appraise', () => {
  it('accepts an unchanged emulated VM, and reports that it is emulated', async () => {
    const verdict = appraise(await scene());
    expect(verdict).toMatchObject({
      outcome: 'accepted',
      platform: 'emulated',
      emulated: true,
      failures: [],
    });
    expect(verdict.claims).toEqual(mutableClaims);
  });

  it('lists every check exactly once, in the order of the table', async () => {
    const scope = bundleScope({ report: 'snp', tpm: false, dice: false });
    expect(scope).toEqual(CHECK_NAMES.filter((name) => scope.includes(name)));
    for (const options of [{}, { log: null }]) {
      const verdict = appraise(await scene(options));
      expect(verdict.checks.map((check) => check.name)).toEqual(scope);
    }
    const garbage = appraise({ ...(await scene()), evidence: Uint8Array.of(1) });
    expect(garbage.checks.map((check) => check.name)).toEqual(scope);
  });

  it('gives a reason for every check that it did not make', async () => {
    const unchecked = appraise(await scene()).checks.filter((check) => check.outcome === 'not-checked');
    expect(unchecked.map((check) => check.name)).toEqual(
      expect.arrayContaining([
        'chain.revocation',
        'vtpm.quote',
        'dice.chain',
        'launch.agent',
        'binding.host-data',
      ]),
    );
    for (const check of unchecked) expect(check.note).toMatch(/\w/);
  });

  it('accepts what the emulated security processor signs', async () => {
    const input = await scene();
    const processor = createSecurityProcessor({ root, chipId: new Uint8Array(64).fill(1), now: NOW });
    if (input.bundle.report.kind !== 'snp') throw new Error('the scene is of SNP');
    const { report } = input.bundle.report;
    const signed = processor.report({
      reportData: report.subarray(0x50, 0x90),
      measurement: report.subarray(0x90, 0xc0),
      hostData: MANIFEST,
    });
    const bundle = {
      ...input.bundle,
      report: { kind: 'snp' as const, report: signed, certificates: [...processor.certificates] },
    };
    const verdict = appraise({ ...input, evidence: encodeEvidence(bundle) });
    expect(verdict.failures).toEqual([]);
    expect(outcome(verdict, 'binding.host-data')).toBe('passed');
  });

  it('uses certificates of the collateral for missing ones', async () => {
    const options = { certificates: (leaf: Uint8Array) => [leaf] };
    expect(await failuresOf(options)).toEqual(['chain.intermediate']);
    const collateral = { certificates: [root.ark.certificate, root.ask.certificate] };
    expect(await failuresOf(options, { collateral })).toEqual([]);
  });

  it('accepts a Date and milliseconds', async () => {
    expect(await failuresOf({}, { at: new Date(NOW) })).toEqual([]);
  });

  it.each([
    ['a short nonce', { nonce: new Uint8Array(31) }],
    ['a time that is none', { at: Number.NaN }],
    ['a manifest digest in another form', { expectedManifestDigest: 'abc' }],
  ])('throws only for arguments of its caller: %s', async (_, change) => {
    const input = await scene();
    expect(() => appraise({ ...input, ...change })).toThrowError(
      expect.objectContaining({ code: 'INPUT_INVALID' }),
    );
  });
});

describe('appraise: platform and root', () => {
  it('refuses emulated evidence under a policy for hardware', async () => {
    const policy = { platforms: ['snp'] };
    expect(await failuresOf({ policy })).toEqual(['policy.platform']);
    expect(await failuresOf({ policy: { ...policy, emulatedRoot: undefined } })).toEqual(['chain.root']);
  });

  it('reports EMULATED even for an untrusted root', async () => {
    const verdict = appraise(await scene({ policy: { platforms: ['snp'], emulatedRoot: undefined } }));
    expect(verdict).toMatchObject({ outcome: 'rejected', platform: 'unknown', emulated: true });
  });

  it('refuses another root with the same name and subject', async () => {
    const key = root.ask.key;
    const self = { name: root.ark.name, key };
    const ark = authority(root.ark.name, key, self, authorityExtensions());
    const ask = authority(root.ask.name, key, self, authorityExtensions(0));
    expect(await failuresOf({ certificates: (leaf) => [leaf, ask, ark] })).toEqual(['chain.root']);
  });

  it('refuses a policy that pins another root', async () => {
    const emulatedRoot = `sha256:${'0'.repeat(64)}`;
    expect(await failuresOf({ policy: { emulatedRoot } })).toEqual(['chain.root']);
  });

  it('refuses claims for another platform than the root proves', async () => {
    expect(await failuresOf({ claims: { ...mutableClaims, platform: 'snp' } })).toEqual(['binding.platform']);
  });

  it('refuses an intermediate that is not a CA, and a leaf that is one', async () => {
    const plain = authority(root.ask.name, root.ask.key, root.ark, []);
    expect(await failuresOf({ certificates: (leaf) => [leaf, plain, root.ark.certificate] })).toEqual([
      'chain.profile',
    ]);
    const extensions = [...Object.values(vcekExtensions), ...authorityExtensions()];
    expect(await failuresOf({ endorsement: { extensions } })).toEqual(['chain.profile']);
  });

  it('refuses an unknown critical extension', async () => {
    const extensions = [
      ...Object.values(vcekExtensions),
      { oid: '1.2.3.4', critical: true, value: Uint8Array.of(5, 0) },
    ];
    expect(await failuresOf({ endorsement: { extensions } })).toEqual(['chain.profile']);
  });

  it('refuses an intermediate with another name than that of its class', async () => {
    const other = { name: 'SEV-VLEK-EMULATED', key: root.ask.key };
    const asvk = authority(other.name, root.ask.key, root.ark, authorityExtensions(0));
    const certificates = (leaf: Uint8Array) => [leaf, asvk, root.ark.certificate];
    expect(await failuresOf({ endorsement: { issuer: other }, certificates })).toEqual(['chain.profile']);
  });
});

describe('appraise: endorsement certificate (re-signed)', () => {
  const without = (name: string) =>
    Object.entries(vcekExtensions)
      .filter(([key]) => key !== name)
      .map(([, e]) => e);
  const changed = (name: string, value: Uint8Array) =>
    Object.entries(vcekExtensions).map(([key, e]) => (key === name ? { ...e, value } : e));

  it.each(['blSPL', 'teeSPL', 'snpSPL', 'ucodeSPL', 'structVersion', 'productName', 'hwID'])(
    'refuses a VCEK without %s',
    async (name) => {
      expect(await failuresOf({ endorsement: { extensions: without(name) } })).toEqual(['chain.leaf']);
    },
  );

  it.each([
    ['ucodeSPL', 114],
    ['snpSPL', 9],
    ['blSPL', 2],
    ['teeSPL', 1],
  ])('refuses a VCEK whose %s is %i, not the reported one', async (name, level) => {
    const extensions = changed(name, amd.integerValue(level));
    expect(await failuresOf({ endorsement: { extensions } })).toEqual(['report.certificate-tcb']);
  });

  it('refuses a VCEK of another chip', async () => {
    const extensions = changed('hwID', new Uint8Array(64).fill(1));
    expect(await failuresOf({ endorsement: { extensions } })).toEqual(['report.chip-id']);
  });

  it('refuses a VCEK of another product or structure', async () => {
    for (const [name, value] of [
      ['productName', amd.ia5Value('Milan-B0')],
      ['structVersion', amd.integerValue(1)],
    ] as const) {
      expect(await failuresOf({ endorsement: { extensions: changed(name, value) } })).toEqual([
        'report.product',
      ]);
    }
    const fmc = { oid: `${amd.oid}.3.9`, value: amd.integerValue(0) };
    const extensions = [...Object.values(vcekExtensions), fmc];
    expect(await failuresOf({ endorsement: { extensions } })).toEqual(['report.product']);
  });

  it('refuses the CPU of a real product under the emulated root', async () => {
    const beforeSigning = (report: Buffer) => report.writeUInt16BE(0x1901, 0x188);
    expect(await failuresOf({ beforeSigning })).toEqual(['report.product']);
  });

  it('refuses a leaf outside its validity', async () => {
    expect(await failuresOf({ endorsement: { notAfter: NOW - 1000 } })).toEqual(['chain.validity']);
    expect(await failuresOf({ endorsement: { notBefore: NOW + 1000 } })).toEqual(['chain.validity']);
    expect(await failuresOf({}, { at: NOW + 2 * DAY })).toEqual(['chain.validity']);
  });

  it('refuses a key class other than the report names', async () => {
    expect(await failuresOf({ beforeSigning: (r) => r.writeUInt32LE(1 << 2, 0x048) })).toEqual([
      'chain.leaf',
    ]);
    expect(await failuresOf({ beforeSigning: (r) => r.writeUInt32LE(7 << 2, 0x048) })).toEqual([
      'chain.leaf',
    ]);
    expect(await failuresOf({ endorsement: { subject: 'SEV-VLEK' } })).toEqual(['chain.leaf']);
  });
});

describe('appraise: report (re-signed)', () => {
  const changed = (write: (report: Buffer) => void) => failuresOf({ beforeSigning: write });

  it('refuses an unknown version or algorithm, and a policy without its fixed bit', async () => {
    for (const version of [0, 1, 4, 0xffffffff]) {
      expect(await changed((r) => r.writeUInt32LE(version, 0))).toEqual(['report.version']);
    }
    for (const algorithm of [0, 2]) {
      expect(await changed((r) => r.writeUInt32LE(algorithm, 0x34))).toEqual(['report.algorithm']);
    }
    expect(await changed((r) => r.writeBigUInt64LE(0x10000n, 8))).toEqual(['report.policy-bits']);
  });

  it('refuses an impossible order of TCBs', async () => {
    expect(await changed((r) => r.writeUInt8(116, 0x187))).toContain('report.tcb-order');
    expect(await changed((r) => r.writeUInt8(116, 0x1e7))).toContain('report.tcb-order');
    expect(await changed((r) => r.writeUInt8(114, 0x1e7))).toContain('report.tcb-order');
  });

  it('refuses a TCB with a reserved byte set', async () => {
    expect(await changed((r) => r.writeUInt8(1, 0x182))).toEqual(['report.reserved']);
  });

  it.each([
    ['debug', 0xb0000n, 'policy.debug', { allowDebug: true }],
    ['migration', 0x70000n, 'policy.migration', { allowMigration: true }],
  ])('refuses %s unless the policy allows it', async (_, bits, name, policy) => {
    const beforeSigning = (r: Buffer) => r.writeBigUInt64LE(bits, 8);
    expect(await failuresOf({ beforeSigning })).toEqual([name]);
    expect(await failuresOf({ beforeSigning, policy })).toEqual([]);
  });

  it('refuses SMT if the policy does not allow it', async () => {
    expect(await failuresOf({ policy: { snp: { allowSmt: false } } })).toEqual(['policy.smt']);
    const beforeSigning = (r: Buffer) => r.writeBigUInt64LE(0x20000n, 8);
    expect(await failuresOf({ beforeSigning, policy: { snp: { allowSmt: false } } })).toEqual([]);
  });

  it('refuses another VMPL than that of the policy', async () => {
    expect(await changed((r) => r.writeUInt32LE(1, 0x30))).toEqual(['policy.vmpl']);
    expect(await changed((r) => r.writeUInt32LE(0xffffffff, 0x30))).toEqual(['policy.vmpl']);
  });

  it('refuses provisional firmware if the policy does not allow it', async () => {
    const policy = { snp: { allowProvisionalFirmware: false } };
    const newer = (r: Buffer) => r.writeUInt8(200, 0x03f);
    const laterBuild = (r: Buffer) => r.writeUInt8(1, 0x1e8);
    for (const beforeSigning of [newer, laterBuild]) {
      expect(await failuresOf({ beforeSigning })).toEqual([]);
      expect(await failuresOf({ beforeSigning, policy })).toEqual(['policy.provisional-firmware']);
    }
    expect(await failuresOf({ policy })).toEqual([]);
  });

  it('compares each component of the reported TCB with the minimum', async () => {
    const minimum = (emulated: object) => failuresOf({ policy: { snp: { minimumTcb: { emulated } } } });
    expect(await minimum({ snp: 8, microcode: 115 })).toEqual([]);
    expect(await minimum({ snp: 9 })).toEqual(['policy.minimum-tcb']);
    expect(await minimum({ microcode: 116 })).toEqual(['policy.minimum-tcb']);
    expect(await minimum({ fmc: 0 })).toEqual(['policy.minimum-tcb']);
  });

  it('compares guest SVN, ID key and alias check with the policy', async () => {
    expect(await failuresOf({ policy: { snp: { minimumGuestSvn: 1 } } })).toEqual(['policy.guest-svn']);
    expect(await failuresOf({ policy: { snp: { idKeyDigests: ['a'.repeat(96)] } } })).toEqual([
      'policy.id-key',
    ]);
    expect(await failuresOf({ policy: { snp: { requireAliasCheck: true } } })).toEqual([
      'policy.alias-check',
    ]);
    const beforeSigning = (r: Buffer) => {
      r.writeUInt32LE(1, 0x004);
      r.writeBigUInt64LE(0x20n, 0x040);
      r.fill(0xaa, 0x0e0, 0x110);
    };
    const policy = {
      snp: { minimumGuestSvn: 1, idKeyDigests: ['a'.repeat(96)], requireAliasCheck: true },
    };
    expect(await failuresOf({ beforeSigning, policy })).toEqual([]);
  });
});

describe('a provider key (VLEK)', () => {
  const provider = { oid: `${amd.oid}.5`, value: amd.ia5Value('CN=cloud.example') };
  const vlekScene = (policy: Record<string, unknown>): SceneOptions => {
    const issuer = { name: 'SEV-VLEK-EMULATED', key: root.ask.key };
    const asvk = authority(issuer.name, root.ask.key, root.ark, authorityExtensions(0));
    const { hwID: _, ...levels } = vcekExtensions;
    return {
      endorsement: { subject: 'SEV-VLEK', issuer, extensions: [...Object.values(levels), provider] },
      certificates: (leaf) => [leaf, asvk, root.ark.certificate],
      beforeSigning: (report) => report.writeUInt32LE(1 << 2, 0x048),
      policy,
    };
  };

  it('is refused unless the policy accepts it', async () => {
    expect(await failuresOf(vlekScene({}))).toEqual(['policy.endorsement-key']);
    expect(await failuresOf(vlekScene({ snp: { endorsementKeys: ['vcek', 'vlek'] } }))).toEqual([]);
  });

  it('does not identify a chip, and the verdict says so', async () => {
    const verdict = appraise(await scene(vlekScene({ snp: { endorsementKeys: ['vlek'] } })));
    expect(outcome(verdict, 'report.chip-id')).toBe('not-checked');
  });
});
