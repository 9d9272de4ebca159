import { beforeAll, describe, expect, it } from 'vitest';
import { verifySnp } from '../../../src/attestation/appraisal/standalone.ts';
import { NO_COLLATERAL } from '../../../src/attestation/collateral/collateral.ts';
import { parsePolicy } from '../../../src/attestation/policy/policy.ts';
import { parseCertificateTable } from '../../../src/attestation/snp/certificate-table.ts';
import { attestationCrypto as crypto } from '../../../src/crypto/attestation-crypto.ts';
import {
  type Amd,
  ARK_SERIAL,
  ASK_SERIAL,
  AT,
  arkList,
  CHIP_ID,
  createAmd,
  createReport,
  type EvidenceOptions,
  extraLevel,
  level,
  tcb,
  vcekExtensions,
  WAIVERS,
} from '../../fakes/fake-amd.ts';
import { revocationList } from '../../fakes/x509-issuer.ts';

const DAY = 86_400_000;
let milan: Amd;
let genoa: Amd;
let turin: Amd;
beforeAll(async () => {
  [milan, genoa, turin] = await Promise.all([createAmd('Milan'), createAmd('Genoa'), createAmd('Turin')]);
});

interface Options {
  readonly amd?: Amd;
  readonly snp?: object;
  readonly policy?: object;
  readonly lists?: readonly Uint8Array[];
  readonly at?: number;
}

function verify(evidence: ReturnType<typeof createReport>, options: Options = {}) {
  const { trustedRoots } = options.amd ?? milan;
  return verifySnp({
    ...evidence,
    collateral: { ...NO_COLLATERAL, revocationLists: options.lists ?? [] },
    policy: parsePolicy({
      version: 1,
      platforms: ['snp'],
      snp: { ...WAIVERS, trustedRoots, ...options.snp },
      ...options.policy,
    }),
    at: options.at ?? AT,
    crypto,
  });
}

const failures = (evidence: EvidenceOptions, options: Options = {}) =>
  verify(createReport(options.amd ?? milan, evidence), options).failures;
const changed = (write: (report: Buffer) => void, options: Options = {}) =>
  failures({ beforeSigning: write }, options);

describe('the fake hierarchy', () => {
  it('is accepted unchanged, for every product line and both kinds of key', () => {
    for (const amd of [milan, genoa, turin]) {
      expect(failures({}, { amd })).toEqual([]);
      expect(failures({ kind: 'VLEK' }, { amd, snp: { endorsementKeys: ['vlek'] } })).toEqual([]);
    }
  });

  it('is refused if the policy does not name its root', () => {
    expect(failures({}, { snp: { trustedRoots: [] } })).toEqual(['chain.root']);
  });
});

describe('verifySnp, on the reports of negative.md,', () => {
  it('1, 2, 3: refuses a changed bit in MEASUREMENT, in REPORT_DATA, and in a reserved field', () => {
    for (const [offset, name] of [
      [0x090, 'report.signature'],
      [0x050, 'report.signature'],
      [0x18b, 'report.reserved'],
    ] as const) {
      const afterSigning = (r: Buffer) => r.writeUInt8(r.readUInt8(offset) ^ 1, offset);
      expect(failures({ afterSigning })).toEqual([name]);
    }
  });

  it('4: refuses r and s of zero', () => {
    expect(failures({ afterSigning: (r) => r.fill(0, 0x2a0, 0x330) })).toEqual(['report.signature']);
  });

  it('5: refuses a value above 384 bits and a byte after the signature', () => {
    expect(failures({ afterSigning: (r) => r.writeUInt8(1, 0x2a0 + 48) })).toEqual(['report.signature-form']);
    expect(failures({ afterSigning: (r) => r.writeUInt8(1, 0x2e8 + 71) })).toEqual(['report.signature-form']);
    expect(failures({ afterSigning: (r) => r.writeUInt8(1, 0x330) })).toEqual(['report.reserved']);
  });

  it('6, 7: refuses a report that is too short or too long', () => {
    const evidence = createReport(milan);
    for (const size of [1183, 0x2a0, 0]) {
      const report = evidence.report.subarray(0, size);
      expect(verify({ ...evidence, report }).failures).toEqual(['report.size']);
    }
    expect(verify({ ...evidence, report: Uint8Array.from([...evidence.report, 0]) }).failures).toEqual([
      'report.size',
    ]);
  });

  it('8: refuses another signature algorithm', () => {
    for (const value of [0, 2])
      expect(changed((r) => r.writeUInt32LE(value, 0x34))).toEqual(['report.algorithm']);
  });

  it('9: refuses an unknown version', () => {
    for (const value of [0, 1, 0xffffffff]) {
      expect(changed((r) => r.writeUInt32LE(value, 0))).toEqual(['report.version']);
    }
  });

  it('10: refuses a guest that the host can debug', () => {
    expect(changed((r) => r.writeBigUInt64LE(0xb0000n, 8))).toEqual(['policy.debug']);
  });

  it('11: refuses a guest that can be migrated', () => {
    expect(changed((r) => r.writeBigUInt64LE(0x70000n, 8))).toEqual(['policy.migration']);
  });

  it('12: refuses a policy whose bit 17 is clear or whose reserved bits are set', () => {
    expect(changed((r) => r.writeBigUInt64LE(0x10000n, 8))).toEqual(['report.policy-bits']);
    expect(changed((r) => r.writeBigUInt64LE(0x8000000000030000n, 8))).toEqual(['report.policy-bits']);
  });

  it('13: refuses another privilege level', () => {
    expect(changed((r) => r.writeUInt32LE(1, 0x30))).toEqual(['policy.vmpl']);
    expect(changed((r) => r.writeUInt32LE(1, 0x30), { snp: { vmpl: 1 } })).toEqual([]);
  });

  it('25: refuses an impossible order of TCBs', () => {
    expect(changed((r) => r.set(tcb('Milan', 116), 0x1e0))).toEqual(['report.tcb-order']);
    expect(
      failures({
        extensions: level('ucodeSPL', 116, 'Milan'),
        beforeSigning: (r) => r.set(tcb('Milan', 116), 0x180),
      }),
    ).toEqual(['report.tcb-order']);
  });

  it('26: refuses a guest SVN below the minimum', () => {
    expect(failures({}, { snp: { minimumGuestSvn: 1 } })).toEqual([]);
    expect(failures({}, { snp: { minimumGuestSvn: 2 } })).toEqual(['policy.guest-svn']);
  });

  it.each([
    ['policy.host-data', 0x0c0, 32, (hex: string) => ({ hostData: hex })],
    ['policy.family-id', 0x010, 16, (hex: string) => ({ familyIds: [hex] })],
    ['policy.image-id', 0x020, 16, (hex: string) => ({ imageIds: [hex] })],
    ['policy.id-key', 0x0e0, 48, (hex: string) => ({ idKeyDigests: [hex] })],
    ['policy.measurement', 0x090, 48, (hex: string) => ({ measurements: [hex] })],
    ['policy.report-data', 0x050, 64, (hex: string) => ({ reportData: hex })],
  ] as const)('27: holds %s against the policy', (name, offset, size, rule) => {
    const beforeSigning = (r: Buffer) => r.fill(0xee, offset, offset + size);
    expect(failures({ beforeSigning }, { snp: rule('ee'.repeat(size)) })).toEqual([]);
    expect(failures({ beforeSigning }, { snp: rule('ef'.repeat(size)) })).toEqual([name]);
  });

  it('27: compares author key and chip with the policy', () => {
    const authorKeyDigests = ['ee'.repeat(48)];
    const author = (r: Buffer) => r.fill(0xee, 0x110, 0x140);
    expect(changed(author, { snp: { authorKeyDigests } })).toEqual(['policy.author-key']);
    const used = (r: Buffer) => {
      author(r);
      r.writeUInt32LE(1, 0x048);
    };
    expect(changed(used, { snp: { authorKeyDigests } })).toEqual([]);
    const chipIds = [Buffer.from(CHIP_ID).toString('hex')];
    expect(failures({}, { snp: { chipIds } })).toEqual([]);
    expect(failures({}, { snp: { chipIds: ['00'.repeat(64)] } })).toEqual(['policy.chip']);
  });

  it('28: refuses a report that binds an earlier challenge', () => {
    const reportData = '11'.repeat(64);
    const earlier = (r: Buffer) => r.fill(0x22, 0x050, 0x090);
    expect(changed(earlier, { snp: { reportData } })).toEqual(['policy.report-data']);
  });

  it('30: refuses a platform that did not check for aliases, if the policy requires it', () => {
    const snp = { requireAliasCheck: true };
    expect(failures({}, { snp })).toEqual([]);
    expect(changed((r) => r.writeBigUInt64LE(0x05n, 0x40), { snp })).toEqual(['policy.alias-check']);
  });

  it('compares the properties of the platform with the policy', () => {
    const info = (platformInfo: object) => failures({}, { snp: { platformInfo } });
    expect(info({ required: ['ecc', 'smt'], forbidden: ['tsme'] })).toEqual([]);
    expect(info({ required: ['tsme'] })).toEqual(['policy.platform-info']);
    expect(info({ forbidden: ['smt'] })).toEqual(['policy.platform-info']);
  });

  it('compares ABI, sockets and firmware versions with the policy', () => {
    const abi = (r: Buffer) => r.writeBigUInt64LE(0x30137n, 8);
    expect(changed(abi, { snp: { minimumAbi: { major: 1, minor: 0x37 } } })).toEqual([]);
    expect(changed(abi, { snp: { minimumAbi: { major: 1, minor: 0x38 } } })).toEqual(['policy.abi']);
    expect(changed(abi, { snp: { minimumAbi: { major: 2, minor: 0 } } })).toEqual(['policy.abi']);
    expect(failures({}, { snp: { requireSingleSocket: true } })).toEqual(['policy.single-socket']);
    const single = (r: Buffer) => r.writeBigUInt64LE(0x130000n, 8);
    expect(changed(single, { snp: { requireSingleSocket: true } })).toEqual([]);
    const firmware = (r: Buffer) => {
      for (const offset of [0x1e8, 0x1ec]) r.set([29, 55, 1], offset);
    };
    const minimumFirmware = { major: 1, minor: 55, build: 29 };
    expect(changed(firmware, { snp: { minimumFirmware } })).toEqual([]);
    for (const more of [{ build: 30 }, { minor: 56, build: 0 }, { major: 2, minor: 0, build: 0 }]) {
      const snp = { minimumFirmware: { ...minimumFirmware, ...more } };
      expect(changed(firmware, { snp })).toEqual(['policy.minimum-firmware']);
    }
  });

  it.each([
    ['minimumTcb', 'policy.minimum-tcb'],
    ['minimumCommittedTcb', 'policy.minimum-committed-tcb'],
    ['minimumLaunchTcb', 'policy.minimum-launch-tcb'],
    ['minimumCurrentTcb', 'policy.minimum-current-tcb'],
  ])('holds the TCB against %s', (rule, name) => {
    expect(failures({}, { snp: { [rule]: { milan: { microcode: 115, snp: 8 } } } })).toEqual([]);
    expect(failures({}, { snp: { [rule]: { milan: { microcode: 116 } } } })).toEqual([name]);
    const options = { amd: turin, snp: { trustedRoots: turin.trustedRoots, [rule]: { turin: { fmc: 2 } } } };
    expect(failures({}, options)).toEqual([name]);
  });
});

describe('verifySnp, on the chains of negative.md,', () => {
  it('14: refuses a key of another class than the report names', () => {
    const vlek = { snp: { endorsementKeys: ['vcek', 'vlek'] } };
    expect(changed((r) => r.writeUInt32LE(1 << 2, 0x048), vlek)).toEqual(['chain.leaf']);
    expect(failures({ kind: 'VLEK', beforeSigning: (r) => r.writeUInt32LE(0, 0x048) }, vlek)).toEqual([
      'chain.leaf',
    ]);
  });

  it('15: refuses a leaf under the CA of the other class', () => {
    const swapped = (evidence: EvidenceOptions, authority: Amd['ask']) => {
      const { report, certificates } = createReport(milan, evidence);
      return verify(
        { report, certificates: [...certificates, authority.certificate] },
        { snp: { endorsementKeys: ['vcek', 'vlek'] } },
      ).failures;
    };
    expect(swapped({ issuer: milan.asvk }, milan.asvk)).toEqual(['chain.profile']);
    expect(swapped({ kind: 'VLEK', issuer: milan.ask }, milan.ask)).toEqual(['chain.profile']);
  });

  it('16: refuses the key of another chip', () => {
    const extensions = vcekExtensions('Milan');
    const hwID = { oid: '1.3.6.1.4.1.3704.1.4', value: new Uint8Array(64).fill(1) };
    expect(failures({ extensions: { ...extensions, hwID } })).toEqual(['report.chip-id']);
  });

  it('17, 18: refuses a certificate of another TCB, older or newer', () => {
    expect(failures({ extensions: level('ucodeSPL', 114, 'Milan') })).toEqual(['report.certificate-tcb']);
    expect(failures({ extensions: level('snpSPL', 9, 'Milan') })).toEqual(['report.certificate-tcb']);
  });

  it('19: refuses a certificate structure of another product', () => {
    const { fmcSPL: _, ...withoutFmc } = vcekExtensions('Turin');
    expect(failures({ extensions: withoutFmc }, { amd: turin })).toContain('report.product');
    const withFmc = { ...vcekExtensions('Milan'), fmcSPL: extraLevel(9) };
    expect(failures({ extensions: withFmc })).toEqual(['report.product']);
  });

  it.each(['blSPL', 'teeSPL', 'snpSPL', 'ucodeSPL'])('20: refuses a certificate without %s', (name) => {
    const rest = Object.fromEntries(Object.entries(vcekExtensions('Milan')).filter(([key]) => key !== name));
    expect(failures({ extensions: rest })).toEqual(['chain.leaf']);
  });

  it('21: refuses a root of the same name and serial with another key', async () => {
    const other = await createAmd('Milan', true);
    expect(verify(createReport(other)).failures).toEqual(['chain.root']);
  });

  it('22: refuses a report for another product than its root', () => {
    expect(failures({ extensions: vcekExtensions('Genoa') })).toEqual(['report.product']);
    expect(changed((r) => r.set([0x19, 0x11], 0x188))).toEqual(['report.product']);
    const mixed = createReport(milan, { issuer: genoa.ask });
    const authorities = [genoa.ask.certificate, genoa.ark.certificate];
    const evidence = {
      report: mixed.report,
      certificates: [...mixed.certificates.slice(0, 1), ...authorities],
    };
    expect(verify(evidence, { amd: genoa }).failures).toEqual(['report.product']);
  });

  it('23: refuses a leaf outside its validity', () => {
    expect(failures({ notAfter: AT - 1000 })).toEqual(['chain.validity']);
    expect(failures({ notBefore: AT + 1000 })).toEqual(['chain.validity']);
    expect(failures({}, { at: AT + 2000 * DAY })).toEqual(['chain.validity']);
  });

  it('24: refuses a leaf on another curve', () => {
    expect(failures({ curve: 'P-256' })).toEqual(['chain.leaf']);
  });

  it('29: refuses an inconsistent certificate table', () => {
    const guid = Buffer.from('63da758de6644564adc5f4b93be8accd', 'hex');
    const entry = (offset: number, length: number) => {
      const out = Buffer.alloc(24);
      out.set(guid);
      out.writeUInt32LE(offset, 16);
      out.writeUInt32LE(length, 20);
      return out;
    };
    const end = Buffer.alloc(24);
    const data = Buffer.alloc(32, 0x30);
    const invalid = expect.objectContaining({ code: 'EVIDENCE_INVALID' });
    expect(parseCertificateTable(Buffer.concat([entry(48, 32), end, data]))).toHaveLength(1);
    for (const table of [
      Buffer.concat([entry(48, 33), end, data]),
      Buffer.concat([entry(0xffffffff, 32), end, data]),
      Buffer.concat([entry(24, 32), end, data]),
      Buffer.concat([entry(72, 20), entry(80, 20), end, data]),
      Buffer.concat([entry(24, 8), data]).subarray(0, 40),
    ]) {
      expect(() => parseCertificateTable(table)).toThrowError(invalid);
    }
  });

  it('refuses a provider that the policy does not list', () => {
    const snp = { endorsementKeys: ['vlek'], providers: ['CN=cloud.example'] };
    expect(failures({ kind: 'VLEK' }, { snp })).toEqual([]);
    expect(failures({ kind: 'VLEK' }, { snp: { ...snp, providers: ['CN=other.example'] } })).toEqual([
      'policy.provider',
    ]);
  });
});

describe('revocation of AMD certificates', () => {
  it('is checked if a list is available, and required if the policy says so', () => {
    const snp = { requireRevocationList: true };
    expect(failures({}, { snp, lists: [arkList(milan, [])] })).toEqual([]);
    const without = verify(createReport(milan), { snp });
    expect(without.failures).toEqual(['chain.revocation-list', 'chain.revocation']);
    expect(without.missing).toEqual(without.failures);
  });

  it('rejects a revoked intermediate', () => {
    expect(failures({}, { lists: [arkList(milan, [ASK_SERIAL])] })).toEqual(['chain.revocation']);
    expect(failures({}, { lists: [arkList(milan, [Uint8Array.of(2, 2)])] })).toEqual([]);
  });

  it('rejects a root that revokes itself', () => {
    expect(failures({}, { lists: [arkList(milan, [ARK_SERIAL])] })).toEqual(['chain.revocation']);
  });

  it('ignores the list of another root', () => {
    const lists = [arkList(genoa, [ASK_SERIAL])];
    expect(failures({}, { lists })).toEqual([]);
    expect(failures({}, { lists, snp: { requireRevocationList: true } })).toEqual([
      'chain.revocation-list',
      'chain.revocation',
    ]);
  });

  it('rejects a list that is stale, from the future, by another key or of another kind', () => {
    const dates = (thisUpdate: number, nextUpdate: number) => ({ thisUpdate, nextUpdate });
    for (const list of [
      arkList(milan, [], dates(AT - 3 * DAY, AT - DAY)),
      arkList(milan, [], dates(AT + DAY, AT + 3 * DAY)),
      revocationList({
        issuer: { ...milan.ark, key: milan.ask.key },
        revoked: [],
        ...dates(AT - DAY, AT + DAY),
      }),
    ]) {
      expect(failures({}, { lists: [list] })).toEqual(['chain.revocation-list']);
    }
    const delta = { oid: '2.5.29.27', critical: true, value: Uint8Array.of(2, 1, 1) };
    const list = revocationList({
      issuer: milan.ark,
      revoked: [],
      extensions: [delta],
      ...dates(AT - DAY, AT + DAY),
    });
    expect(failures({}, { lists: [list] })).toContain('certificates.parse');
  });
});
