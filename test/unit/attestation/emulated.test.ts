import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createSecurityProcessor,
  type SecurityProcessor,
} from '../../../src/attestation/emulated/processor.ts';
import {
  type DevelopmentRoot,
  developmentRootDigest,
  exportDevelopmentRoot,
  importDevelopmentRoot,
} from '../../../src/attestation/emulated/root.ts';
import { parseSnpReport } from '../../../src/attestation/snp/abi.ts';
import { CHIP_ID, NOW, sha256Hex, testRoot } from '../../fakes/emulated-host.ts';

const folder = mkdtempSync(join(tmpdir(), 'cocos-emulated-'));
const path = (name: string): string => join(folder, name);
const openssl = (...args: string[]): string => execFileSync('openssl', args, { encoding: 'utf8' });

let root: DevelopmentRoot;
let processor: SecurityProcessor;

beforeAll(async () => {
  root = await testRoot();
  const tcb = { bootloader: 3, tee: 0, snp: 8, microcode: 0xd9 };
  processor = createSecurityProcessor({ root, chipId: CHIP_ID, tcb, now: NOW });
  processor.certificates.forEach((der, index) => {
    const name = ['vcek', 'ask', 'ark'][index] ?? 'other';
    writeFileSync(path(`${name}.der`), der);
    openssl('x509', '-inform', 'der', '-in', path(`${name}.der`), '-out', path(`${name}.pem`));
  });
});

afterAll(() => rmSync(folder, { recursive: true }));

describe('the certificates of an emulated platform', () => {
  const at = ['-attime', String(NOW / 1000)];
  const pss = ['-x509_strict', '-check_ss_sig'];

  it('are a chain that openssl verifies strictly', () => {
    const out = openssl(
      'verify',
      ...at,
      ...pss,
      '-CAfile',
      path('ark.pem'),
      '-untrusted',
      path('ask.pem'),
      path('vcek.pem'),
    );
    expect(out).toContain('vcek.pem: OK');
  });

  it('are refused by openssl without the intermediate', () => {
    const { status } = spawnSync('openssl', ['verify', ...at, '-CAfile', path('ark.pem'), path('vcek.pem')]);
    expect(status).not.toBe(0);
  });

  it('have the profile of real certificates', () => {
    for (const name of ['ark', 'ask', 'vcek']) {
      const text = openssl('x509', '-in', path(`${name}.pem`), '-noout', '-text');
      expect(text).toContain('Signature Algorithm: rsassaPss');
      expect(text).toContain('Hash Algorithm: sha384');
      expect(text).toContain('Salt Length: 0x30');
      expect(text).toContain(name === 'vcek' ? 'secp384r1' : 'Public-Key: (4096 bit)');
    }
  });

  it('are marked emulated in every name', () => {
    for (const name of ['ark', 'ask', 'vcek']) {
      expect(openssl('x509', '-in', path(`${name}.pem`), '-noout', '-issuer')).toMatch(/EMULATED/);
    }
  });

  it('contain the raw chip id and the patch levels as integers', () => {
    const dump = openssl('asn1parse', '-inform', 'der', '-in', path('vcek.der'));
    const value = (id: string): string => new RegExp(`:${id}\\n.*DUMP\\]:([0-9A-F]+)`).exec(dump)?.[1] ?? '';
    const arc = '1.3.6.1.4.1.3704.1';
    expect(value(`${arc}.4`)).toBe(Buffer.from(CHIP_ID).toString('hex').toUpperCase());
    expect(value(`${arc}.3.1`)).toBe('020103');
    expect(value(`${arc}.3.8`)).toBe('020200D9');
    expect(value(`${arc}.2`)).toBe('1608456D756C61746564');
  });
});

describe('createSecurityProcessor', () => {
  const request = { reportData: new Uint8Array(64).fill(9), measurement: new Uint8Array(48).fill(8) };

  it('signs reports that openssl verifies over the first 0x2a0 bytes', () => {
    const report = processor.report({ ...request, hostData: new Uint8Array(32).fill(7) });
    const half = (at: number) => Buffer.from(report.subarray(at, at + 48)).reverse();
    const asn1 = (value: Buffer) => {
      const start = value.findIndex((b) => b !== 0);
      const body = value.subarray(start);
      const padded = (body[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), body]) : body;
      return Buffer.concat([Buffer.of(2, padded.length), padded]);
    };
    const pair = Buffer.concat([asn1(half(0x2a0)), asn1(half(0x2e8))]);
    writeFileSync(path('signature'), Buffer.concat([Buffer.of(0x30, pair.length), pair]));
    writeFileSync(path('body'), report.subarray(0, 0x2a0));
    writeFileSync(path('key.pem'), openssl('x509', '-in', path('vcek.pem'), '-noout', '-pubkey'));
    const out = openssl(
      'dgst',
      '-sha384',
      '-verify',
      path('key.pem'),
      '-signature',
      path('signature'),
      path('body'),
    );
    expect(out).toContain('Verified OK');
  });

  it('writes each field at its offset', () => {
    const report = Buffer.from(
      processor.report({
        ...request,
        hostData: new Uint8Array(32).fill(7),
        policy: 0xb0000n,
        vmpl: 2,
        guestSvn: 5,
      }),
    );
    expect(report).toHaveLength(1184);
    expect(report.readUInt32LE(0)).toBe(3);
    expect(report.readUInt32LE(4)).toBe(5);
    expect(report.readBigUInt64LE(8)).toBe(0xb0000n);
    expect(report.readUInt32LE(0x30)).toBe(2);
    expect(report.subarray(0x50, 0x90).every((b) => b === 9)).toBe(true);
    expect(report.subarray(0x90, 0xc0).every((b) => b === 8)).toBe(true);
    expect(report.subarray(0xc0, 0xe0).every((b) => b === 7)).toBe(true);
    expect(report.subarray(0x180, 0x188).toString('hex')).toBe('03000000000008d9');
    expect(report.subarray(0x1a0, 0x1e0)).toEqual(Buffer.from(CHIP_ID));
    expect(parseSnpReport(report).cpuid).toEqual({ family: 0, model: 0, stepping: 0 });
  });

  it.each([
    ['REPORT_DATA', { reportData: new Uint8Array(63) }],
    ['MEASUREMENT', { measurement: new Uint8Array(49) }],
    ['HOST_DATA', { hostData: new Uint8Array(31) }],
    ['VMPL', { vmpl: 4 }],
  ])('refuses a wrong %s', (_, change) => {
    expect(() => processor.report({ ...request, ...change })).toThrowError(
      expect.objectContaining({ code: 'INPUT_INVALID' }),
    );
  });

  it('refuses a chip id of another size', () => {
    expect(() => createSecurityProcessor({ root, chipId: new Uint8Array(8), now: NOW })).toThrowError(
      expect.objectContaining({ code: 'INPUT_INVALID' }),
    );
  });
});

describe('importDevelopmentRoot', () => {
  const refused = expect.objectContaining({ code: 'KEY_FILE_INVALID' });

  it('restores an exported root from JSON text', () => {
    const again = importDevelopmentRoot(JSON.parse(JSON.stringify(exportDevelopmentRoot(root))));
    expect(developmentRootDigest(again)).toBe(developmentRootDigest(root));
    expect(again.ask.key.equals(root.ask.key)).toBe(true);
    expect(again.ask.certificate).toEqual(root.ask.certificate);
  });

  it('refuses a key that does not belong to the certificate', () => {
    const json = exportDevelopmentRoot(root);
    const swapped = { ...json, ask: { ...json.ask, privateKey: json.ark.privateKey } };
    expect(() => importDevelopmentRoot(swapped)).toThrowError(refused);
    expect(() => importDevelopmentRoot({ ...json, ark: json.ask })).toThrowError(refused);
  });

  it.each([[null], [{ version: 2 }], [{ version: 1, ark: {}, ask: {} }]])('refuses %j', (json) => {
    expect(() => importDevelopmentRoot(json)).toThrowError(refused);
  });

  it('refuses damaged PEM', () => {
    const json = exportDevelopmentRoot(root);
    const damaged = { ...json, ark: { ...json.ark, certificate: 'no certificate' } };
    expect(() => importDevelopmentRoot(damaged)).toThrowError(refused);
  });
});

describe('developmentRootDigest', () => {
  it('is the SHA-256 of the DER of the ARK', () => {
    expect(developmentRootDigest(root)).toBe(`sha256:${sha256Hex(root.ark.certificate)}`);
  });
});
