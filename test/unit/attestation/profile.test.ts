import { generateKeyPairSync } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { appraise } from '../../../src/attestation/appraisal/appraise.ts';
import { authorityExtensions } from '../../../src/attestation/emulated/issue.ts';
import type { DevelopmentRoot } from '../../../src/attestation/emulated/root.ts';
import { cpuMatches, nameMatches } from '../../../src/attestation/snp/products.ts';
import { parseCertificate } from '../../../src/attestation/x509/certificate.ts';
import { profileProblems } from '../../../src/attestation/x509/profile.ts';
import {
  authority,
  endorse,
  type SceneOptions,
  scene,
  testRoot,
  vcekExtensions,
} from '../../fakes/emulated-host.ts';

let root: DevelopmentRoot;
beforeAll(async () => {
  root = await testRoot();
});

const invalid = expect.objectContaining({ code: 'EVIDENCE_INVALID' });
const failuresOf = async (options: SceneOptions) => appraise(await scene(options)).failures;

describe('the certificate profile', () => {
  it('refuses a leaf on another curve', async () => {
    expect(await failuresOf({ endorsement: { curve: 'P-256' } })).toEqual(['chain.leaf']);
  });

  it('refuses a CA with a shorter RSA key', async () => {
    const { privateKey: key } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const ask = authority(root.ask.name, key, root.ark, authorityExtensions(0));
    const endorsement = { issuer: { name: root.ask.name, key } };
    const certificates = (leaf: Uint8Array) => [leaf, ask, root.ark.certificate];
    expect(await failuresOf({ endorsement, certificates })).toEqual(['chain.profile']);
  });

  it('accepts the certificates of the platform', () => {
    expect(profileProblems(parseCertificate(root.ask.certificate), 'intermediate')).toEqual([]);
    expect(profileProblems(parseCertificate(endorse(root).certificate), 'leaf')).toEqual([]);
  });

  it.each([
    ['PKCS#1 v1.5 with SHA-384', '1.2.840.113549.1.1.12', '0500'],
    ['PSS with its default parameters', '1.2.840.113549.1.1.10', '3000'],
    [
      'PSS with a salt of 32 bytes',
      '1.2.840.113549.1.1.10',
      '3034a00f300d06096086480165030402020500a11c301a06092a864886f70d010108300d06096086480165030402020500a203020120',
    ],
  ])('refuses %s', (_, oid, parameters) => {
    const certificate = parseCertificate(root.ask.certificate);
    const signatureAlgorithm = { oid, parameters: Buffer.from(parameters, 'hex') };
    expect(profileProblems({ ...certificate, signatureAlgorithm }, 'intermediate')).toHaveLength(1);
  });
});

describe('parseCertificate', () => {
  it('refuses a duplicate extension', () => {
    const [first] = Object.values(vcekExtensions);
    const extensions = [...Object.values(vcekExtensions), ...(first === undefined ? [] : [first])];
    expect(() => parseCertificate(endorse(root, { extensions }).certificate)).toThrowError(invalid);
  });

  it('refuses different inner and outer signature algorithms', () => {
    const der = Buffer.from(root.ask.certificate);
    const salt = Buffer.from('a203020130', 'hex');
    const outer = der.lastIndexOf(salt);
    expect(der.indexOf(salt)).toBeLessThan(outer);
    der.writeUInt8(0x20, outer + 4);
    expect(() => parseCertificate(der)).toThrowError(invalid);
  });
});

describe('cpuMatches', () => {
  const cpu = (family: number, model: number) => ({ family, model, stepping: 1 });

  // Family 19h models 00-0fh are Milan, 10-1fh Genoa, a0-afh Bergamo and Siena; family 1ah is Turin.
  it.each([
    ['milan', cpu(0x19, 0x01)],
    ['genoa', cpu(0x19, 0x11)],
    ['genoa', cpu(0x19, 0xa0)],
    ['turin', cpu(0x1a, 0x02)],
    ['emulated', cpu(0, 0)],
  ] as const)('knows a CPU of %s', (product, cpuid) => {
    const products = ['milan', 'genoa', 'turin', 'emulated'] as const;
    expect(products.filter((other) => cpuMatches(other, cpuid))).toEqual([product]);
  });

  it('accepts any product for a report without CPU fields', () => {
    expect(cpuMatches('milan', null)).toBe(true);
  });
});

describe('nameMatches', () => {
  it('accepts the product name with or without a stepping', () => {
    expect(nameMatches('milan', 'Milan-B0')).toBe(true);
    expect(nameMatches('milan', 'Milan')).toBe(true);
    expect(nameMatches('milan', 'Milano')).toBe(false);
    expect(nameMatches('genoa', 'Milan-B0')).toBe(false);
  });
});
