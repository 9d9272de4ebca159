import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { verifySnp } from '../../../src/attestation/appraisal/standalone.ts';
import { NO_COLLATERAL } from '../../../src/attestation/collateral/collateral.ts';
import { parsePolicy } from '../../../src/attestation/policy/policy.ts';
import { parseSnpReport } from '../../../src/attestation/snp/abi.ts';
import { parseCertificateTable } from '../../../src/attestation/snp/certificate-table.ts';
import { parseEndorsement } from '../../../src/attestation/snp/endorsement.ts';
import { PRODUCTS } from '../../../src/attestation/snp/products.ts';
import { decodeTcb, encodeTcb } from '../../../src/attestation/snp/tcb.ts';
import { parseCertificate } from '../../../src/attestation/x509/certificate.ts';
import { attestationCrypto as crypto } from '../../../src/crypto/attestation-crypto.ts';
import { WAIVERS } from '../../fakes/fake-amd.ts';
import { hasVectors, vectorsDir } from '../../vectors.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const snpFolder = join(vectorsDir(), 'snp');
const load = (...parts: string[]): Uint8Array => new Uint8Array(readFileSync(join(snpFolder, ...parts)));

const Tcb = z.object({
  raw: z.string(),
  fmc: z.number().optional(),
  bootloader: z.number(),
  tee: z.number(),
  snp: z.number(),
  microcode: z.number(),
});
const Firmware = z.object({ build: z.number(), minor: z.number(), major: z.number() });
const Report = z.object({
  version: z.number(),
  guest_svn: z.number(),
  policy: z.string(),
  policy_bits: z.object({
    smt: z.boolean(),
    abi_major: z.number(),
    abi_minor: z.number(),
    migrate_ma: z.boolean(),
    debug: z.boolean(),
    single_socket: z.boolean(),
  }),
  family_id: z.string(),
  image_id: z.string(),
  vmpl: z.number(),
  current_tcb: Tcb,
  platform_info: z.string(),
  author_key_en: z.boolean(),
  mask_chip_key: z.boolean(),
  signing_key_name: z.string(),
  report_data: z.string(),
  measurement: z.string(),
  host_data: z.string(),
  id_key_digest: z.string(),
  author_key_digest: z.string(),
  report_id: z.string(),
  reported_tcb: Tcb,
  cpuid_fam_id: z.number().nullable(),
  cpuid_mod_id: z.number().nullable(),
  cpuid_step: z.number().nullable(),
  chip_id: z.string(),
  committed_tcb: Tcb,
  current_version: Firmware,
  committed_version: Firmware,
  launch_tcb: Tcb,
  sig_r_le: z.string(),
  sig_s_le: z.string(),
});
const Extensions = z.object({
  structVersion: z.number(),
  productName: z.string(),
  fmcSPL: z.number().optional(),
  blSPL: z.number(),
  teeSPL: z.number(),
  snpSPL: z.number(),
  ucodeSPL: z.number(),
  hwID: z.string().optional(),
  cspID: z.string().optional(),
});
const Case = z.object({
  product: z.enum(['milan', 'genoa', 'turin']),
  endorsement_key_file: z.string(),
  chain: z.array(z.string()),
  verify_at: z.string(),
  endorsement_cert: z.object({ extensions: Extensions }),
  report: Report,
});

const CASES = ['milan-v2', 'genoa-v3', 'turin-v5', 'milan-v3-vlek-vmpl1', 'milan-v2-debug-policy'] as const;

function open(name: string) {
  const expected = Case.parse(JSON.parse(readFileSync(join(snpFolder, name, 'expected.json'), 'utf8')));
  const bytes = load(name, 'report.bin');
  const ders = expected.chain.map((file) => load(name, file));
  return { expected, bytes, ders, at: Date.parse(expected.verify_at) };
}

/** Failed checks of `verifySnp`, the proven product, and whether the report is genuine. */
function verify(bytes: Uint8Array, ders: readonly Uint8Array[], at: number, snp: object = {}) {
  const verdict = verifySnp({
    report: bytes,
    certificates: ders,
    policy: parsePolicy({ version: 1, platforms: ['snp'], snp: { ...WAIVERS, ...snp } }),
    collateral: NO_COLLATERAL,
    at,
    crypto,
  });
  const failed = verdict.checks.filter((check) => check.outcome === 'failed').map((check) => check.name);
  const outcome = (name: string) => verdict.checks.find((check) => check.name === name)?.outcome;
  const genuine = ['report.signature', 'chain.root', 'report.certificate-tcb', 'report.tcb-order'];
  return { failed, proven: genuine.every((name) => outcome(name) === 'passed'), verdict };
}

const flip = (bytes: Uint8Array, at: number, mask = 1): Uint8Array => {
  const changed = Uint8Array.from(bytes);
  changed[at] = (changed[at] ?? 0) ^ mask;
  return changed;
};

/** Checks that fail for each genuine report under a policy that only waives the shipped minimum and the revocation list. */
const REFUSED_BY_DEFAULT: Readonly<Record<(typeof CASES)[number], string[]>> = {
  'milan-v2': [],
  'genoa-v3': [],
  'turin-v5': [],
  'milan-v3-vlek-vmpl1': ['policy.endorsement-key', 'policy.vmpl'],
  'milan-v2-debug-policy': ['policy.debug'],
};

describe.skipIf(!hasVectors).each(CASES)('SNP evidence %s', (name) => {
  it('parses to the published fields', () => {
    const { expected, bytes } = open(name);
    const { report: want, product } = expected;
    const report = parseSnpReport(bytes);
    expect(report.version).toBe(want.version);
    expect(report.guestSvn).toBe(want.guest_svn);
    expect(report.policy).toEqual({
      raw: BigInt(want.policy),
      abiMajor: want.policy_bits.abi_major,
      abiMinor: want.policy_bits.abi_minor,
      smt: want.policy_bits.smt,
      migrationAgent: want.policy_bits.migrate_ma,
      debug: want.policy_bits.debug,
      singleSocket: want.policy_bits.single_socket,
    });
    expect(report.vmpl).toBe(want.vmpl);
    expect(report.platformInfo).toBe(BigInt(want.platform_info));
    expect(report.authorKeyUsed).toBe(want.author_key_en);
    expect(report.chipKeyMasked).toBe(want.mask_chip_key);
    expect(report.signingKey.toUpperCase()).toBe(want.signing_key_name);
    for (const [field, text] of [
      ['familyId', want.family_id],
      ['imageId', want.image_id],
      ['reportData', want.report_data],
      ['measurement', want.measurement],
      ['hostData', want.host_data],
      ['idKeyDigest', want.id_key_digest],
      ['authorKeyDigest', want.author_key_digest],
      ['reportId', want.report_id],
      ['chipId', want.chip_id],
      ['currentTcb', want.current_tcb.raw],
      ['reportedTcb', want.reported_tcb.raw],
      ['committedTcb', want.committed_tcb.raw],
      ['launchTcb', want.launch_tcb.raw],
    ] as const) {
      expect(hex(report[field]), field).toBe(text);
    }
    const cpuid =
      want.cpuid_fam_id === null
        ? null
        : { family: want.cpuid_fam_id, model: want.cpuid_mod_id, stepping: want.cpuid_step };
    expect(report.cpuid).toEqual(cpuid);
    expect(report.currentFirmware).toEqual(want.current_version);
    expect(report.committedFirmware).toEqual(want.committed_version);
    const littleEndian = (text: string) => hex(Buffer.from(text, 'hex').subarray(0, 48).reverse());
    expect(hex(report.signature)).toBe(littleEndian(want.sig_r_le) + littleEndian(want.sig_s_le));
    const { raw, ...parts } = want.reported_tcb;
    const layout = PRODUCTS[product].tcb;
    expect(decodeTcb(report.reportedTcb, layout)).toMatchObject(
      Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== undefined)),
    );
    expect(hex(encodeTcb(decodeTcb(report.reportedTcb, layout), layout))).toBe(raw);
  });

  it('has the published endorsement extensions', () => {
    const { expected, ders } = open(name);
    const want = expected.endorsement_cert.extensions;
    const [leaf] = ders;
    const endorsement = parseEndorsement(parseCertificate(leaf ?? new Uint8Array()));
    expect(endorsement.structVersion).toBe(want.structVersion);
    expect(endorsement.productName).toBe(want.productName);
    expect(endorsement.tcb).toEqual({
      ...(want.fmcSPL === undefined ? {} : { fmc: want.fmcSPL }),
      bootloader: want.blSPL,
      tee: want.teeSPL,
      snp: want.snpSPL,
      microcode: want.ucodeSPL,
    });
    expect(endorsement.hardwareId === null ? undefined : hex(endorsement.hardwareId)).toBe(want.hwID);
    expect(endorsement.providerId ?? undefined).toBe(want.cspID);
  });

  it('is genuine, and a default policy refuses only the expected checks', () => {
    const { expected, bytes, ders, at } = open(name);
    const { failed, proven, verdict } = verify(bytes, ders, at);
    expect({ failed, proven }).toEqual({ failed: REFUSED_BY_DEFAULT[name], proven: true });
    expect(verdict.checks.find((check) => check.name === 'chain.root')?.found).toContain(expected.product);
  });

  it('is genuine with certificates in any order and with unrelated ones', () => {
    const { bytes, ders, at } = open(name);
    const others = ['milan_ask', 'genoa_ask', 'turin_asvk'].map((file) =>
      load('..', 'amd-roots', `${file}.der`),
    );
    expect(verify(bytes, [...others, ...ders.toReversed()], at).proven).toBe(true);
  });

  it('fails its signature when any one bit of a signed field is flipped', () => {
    const { bytes, ders, at } = open(name);
    // REPORT_DATA, MEASUREMENT, HOST_DATA, REPORT_ID, CHIP_ID, GUEST_SVN, IMAGE_ID
    for (const offset of [0x050, 0x08f, 0x090, 0x0bf, 0x0c0, 0x140, 0x1a0, 0x004, 0x020]) {
      const { failed } = verify(flip(bytes, offset), ders, at);
      expect(failed, `offset ${offset}`).toContain('report.signature');
    }
  });

  it('fails when a bit of r or s is flipped', () => {
    const { bytes, ders, at } = open(name);
    for (const offset of [0x2a0, 0x2cf, 0x2e8, 0x317]) {
      expect(verify(flip(bytes, offset), ders, at).failed).toContain('report.signature');
    }
  });

  it('fails when a signature of the chain is damaged', () => {
    const { bytes, ders, at } = open(name);
    const damaged = (index: number) => ders.map((der, i) => (i === index ? flip(der, der.length - 1) : der));
    expect(verify(bytes, damaged(0), at).failed).toContain('chain.intermediate');
    expect(verify(bytes, damaged(1), at).failed).toContain('chain.root-signature');
    expect(verify(bytes, damaged(2), at).failed).toEqual(
      expect.arrayContaining(['chain.root-signature', 'chain.root']),
    );
  });

  it('fails outside the validity of its certificates', () => {
    const { bytes, ders } = open(name);
    for (const at of [Date.parse('2019-01-01T00:00:00Z'), Date.parse('2049-01-01T00:00:00Z')]) {
      expect(verify(bytes, ders, at)).toMatchObject({ failed: ['chain.validity'], proven: false });
    }
  });

  it('fails without each of its certificates', () => {
    const { bytes, ders, at } = open(name);
    const without = (index: number) =>
      verify(
        bytes,
        ders.filter((_, i) => i !== index),
        at,
      ).failed;
    expect(without(0)).toEqual(['chain.leaf']);
    expect(without(1)).toEqual(['chain.intermediate']);
    expect(without(2)).toEqual(['chain.root-signature']);
  });
});

describe.skipIf(!hasVectors)('parseSnpReport', () => {
  const bytes = hasVectors ? load('turin-v5', 'report.bin') : new Uint8Array(1184);
  const invalid = expect.objectContaining({ code: 'EVIDENCE_INVALID' });

  it.each([0, 0x2a0, 1183, 1185])('refuses %i bytes', (size) => {
    const other = new Uint8Array(size);
    other.set(bytes.subarray(0, size));
    expect(() => parseSnpReport(other)).toThrowError(invalid);
  });

  it.each([
    ['version 4', 0x000, 0x01],
    ['a reserved byte at 0x4c', 0x04c, 1],
    ['a reserved byte at 0x18b', 0x18b, 1],
    ['a reserved byte at 0x1eb', 0x1eb, 1],
    ['a reserved byte at 0x1ef', 0x1ef, 1],
    ['a reserved byte at 0x29f', 0x29f, 1],
    ['policy bit 17 clear', 0x00a, 0x02],
    ['a reserved policy bit', 0x00b, 0x04],
    ['another signature algorithm', 0x034, 0x02],
    ['VMPL 4', 0x030, 0x04],
    ['a reserved key bit', 0x048, 0x20],
    ['an unknown signing key', 0x048, 0x08],
    ['more than 384 bits in R', 0x2d0, 1],
    ['more than 384 bits in S', 0x318, 1],
    ['bytes after S', 0x49f, 1],
  ])('refuses %s', (_, offset, mask) => {
    expect(() => parseSnpReport(flip(bytes, offset, mask))).toThrowError(invalid);
  });

  it.each([0, 1, 0xffffffff])('refuses version %i', (version) => {
    const other = Buffer.from(bytes);
    other.writeUInt32LE(version, 0);
    expect(() => parseSnpReport(other)).toThrowError(invalid);
  });

  it('refuses CPU fields in version 2 and mitigation vectors before version 5', () => {
    const v2 = load('milan-v2', 'report.bin');
    expect(() => parseSnpReport(flip(v2, 0x188))).toThrowError(invalid);
    expect(() => parseSnpReport(flip(v2, 0x1f8))).toThrowError(invalid);
  });

  it('does not change its input, even a Buffer', () => {
    const buffer = Buffer.from(bytes);
    parseSnpReport(buffer);
    expect(buffer.equals(bytes)).toBe(true);
  });

  it('accepts a report that the host requested; the policy refuses it', () => {
    const other = Buffer.from(bytes);
    other.writeUInt32LE(0xffffffff, 0x030);
    expect(parseSnpReport(other).vmpl).toBe(0xffffffff);
  });
});

describe.skipIf(!hasVectors)('verifySnp', () => {
  it('refuses a zero signature without throwing', () => {
    const { bytes, ders, at } = open('genoa-v3');
    const zero = Uint8Array.from(bytes).fill(0, 0x2a0);
    expect(verify(zero, ders, at).failed).toContain('report.signature');
  });

  it('refuses the certificate of another chip', () => {
    const { bytes, at } = open('milan-v2');
    const other = open('milan-v2-debug-policy');
    const { failed } = verify(bytes, other.ders, at);
    expect(failed).toEqual(['report.signature', 'report.chip-id', 'report.certificate-tcb']);
  });

  it('refuses a VLEK under the intermediate for VCEKs', () => {
    const { bytes, ders, at } = open('milan-v3-vlek-vmpl1');
    const ask = load('..', 'amd-roots', 'milan_ask.der');
    const [leaf, , root] = ders;
    expect(verify(bytes, [leaf ?? ask, ask, root ?? ask], at).failed).toEqual(['chain.intermediate']);
  });

  it('refuses a VCEK for a report that names a VLEK', () => {
    const { bytes, at } = open('milan-v3-vlek-vmpl1');
    expect(verify(bytes, open('milan-v2').ders, at).failed).toEqual(['chain.leaf']);
  });

  it.each(['vcek-hwid-raw.der', 'vcek-hwid-octet-string.der'])('reads %s but does not trust it', (file) => {
    const { bytes, ders, at } = open('milan-v2');
    const [, ask, ark] = ders;
    const leaf = load('unmatched-vcek', file);
    const counting = Uint8Array.from({ length: 64 }, (_, i) => i);
    expect(parseEndorsement(parseCertificate(leaf)).hardwareId).toEqual(counting);
    expect(verify(bytes, [leaf, ask ?? leaf, ark ?? leaf], at).failed).toContain('chain.intermediate');
  });
});

describe.skipIf(!hasVectors)('parseCertificateTable', () => {
  const table = hasVectors
    ? load('cert-table-unverifiable', 'extended-report.bin').subarray(1184)
    : new Uint8Array();
  const invalid = expect.objectContaining({ code: 'EVIDENCE_INVALID' });
  const guid = (text: string) => Buffer.from(text.replaceAll('-', ''), 'hex');
  const entry = (id: string, offset: number, length: number) => {
    const bytes = Buffer.alloc(24);
    bytes.set(guid(id));
    bytes.writeUInt32LE(offset, 16);
    bytes.writeUInt32LE(length, 20);
    return bytes;
  };
  const VCEK = '63da758d-e664-4564-adc5-f4b93be8accd';
  const ASK = '4ab7b379-bbac-4fe4-a02f-05aef327c782';
  const end = Buffer.alloc(24);

  it('reads a real table without certificates', () => {
    expect(parseCertificateTable(table)).toEqual([]);
  });

  it('returns the certificates in the order of the entries', () => {
    const bytes = Buffer.concat([entry(VCEK, 74, 3), entry(ASK, 72, 2), end, Buffer.from('aabbc')]);
    expect(parseCertificateTable(bytes).map((b) => Buffer.from(b).toString())).toEqual(['bbc', 'aa']);
  });

  it.each([
    ['an entry past the end', Buffer.concat([entry(VCEK, 48, 9), end, Buffer.alloc(8)])],
    ['an entry into the header', Buffer.concat([entry(VCEK, 24, 8), end, Buffer.alloc(8)])],
    ['overlapping entries', Buffer.concat([entry(VCEK, 72, 5), entry(ASK, 76, 4), end, Buffer.alloc(8)])],
    ['no end marker', entry(VCEK, 24, 0)],
    ['an offset that wraps', Buffer.concat([entry(VCEK, 0xffffffff, 8), end, Buffer.alloc(8)])],
  ])('refuses %s', (_, bytes) => {
    expect(() => parseCertificateTable(bytes)).toThrowError(invalid);
  });
});
