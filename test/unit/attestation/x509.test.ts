import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseCertificate } from '../../../src/attestation/x509/certificate.ts';
import {
  DerReader,
  integerContent,
  oidText,
  readOnly,
  smallInteger,
  TAG,
} from '../../../src/attestation/x509/der.ts';
import { integer, oid } from '../../../src/attestation/x509/der-writer.ts';
import { isoTime, timeMs } from '../../../src/attestation/x509/time.ts';
import { hasVectors, vectorsDir } from '../../vectors.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const invalid = expect.objectContaining({ code: 'EVIDENCE_INVALID' });

/** Every certificate of the sets for AMD: roots, intermediates and endorsement keys. */
function certificateFiles(): string[] {
  if (!hasVectors) return [];
  return ['amd-roots', 'snp'].flatMap((folder) =>
    readdirSync(join(vectorsDir(), folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.der'))
      .map((name) => join(folder, name)),
  );
}

function openssl(file: string, ...args: string[]): string {
  const path = join(vectorsDir(), file);
  return execFileSync('openssl', ['x509', '-inform', 'der', '-in', path, '-noout', ...args], {
    encoding: 'utf8',
  });
}

describe.skipIf(!hasVectors)('parseCertificate against openssl', () => {
  const files = certificateFiles();

  it('has certificates to test', () => {
    expect(files.length).toBeGreaterThanOrEqual(16);
  });

  it.each(files)('parses %s like openssl', (file) => {
    const parsed = parseCertificate(new Uint8Array(readFileSync(join(vectorsDir(), file))));
    const commonName = (line: string): string => /CN ?= ?([^,\n/]+)/.exec(line)?.[1]?.trim() ?? '';
    expect(parsed.subject.commonName).toBe(commonName(openssl(file, '-subject')));
    expect(parsed.issuer.commonName).toBe(commonName(openssl(file, '-issuer')));
    expect(parsed.serial.toUpperCase()).toBe(/serial=(\w+)/.exec(openssl(file, '-serial'))?.[1]);
    const dates = openssl(file, '-dates');
    expect(parsed.notBefore).toBe(Date.parse(/notBefore=(.*)/.exec(dates)?.[1] ?? ''));
    expect(parsed.notAfter).toBe(Date.parse(/notAfter=(.*)/.exec(dates)?.[1] ?? ''));
    const pem = openssl(file, '-pubkey').replace(/-----[A-Z ]+-----|\s/g, '');
    expect(hex(parsed.spki)).toBe(Buffer.from(pem, 'base64').toString('hex'));
    const text = openssl(file, '-text');
    expect(parsed.isCa).toBe(text.includes('CA:TRUE'));
    expect(parsed.keyUsage?.keyCertSign ?? false).toBe(text.includes('Certificate Sign'));
    const amdExtensions = text.match(/1\.3\.6\.1\.4\.1\.3704\.1\.[\d.]+(?=:)/g) ?? [];
    expect(parsed.extensions.map((e) => e.oid).filter((id) => id.startsWith('1.3.6.1.4.1.3704'))).toEqual(
      amdExtensions,
    );
    const signatureText =
      text.slice(text.lastIndexOf('Signature Value')).match(/\b[0-9a-f]{2}(?=[:\n]|$)/g) ?? [];
    expect(hex(parsed.signature)).toBe(signatureText.slice(-512).join(''));
  });

  it('refuses every prefix and an additional byte', () => {
    const der = new Uint8Array(readFileSync(join(vectorsDir(), 'snp/turin-v5/vcek.der')));
    for (let length = 0; length < der.length; length += 1) {
      expect(() => parseCertificate(der.subarray(0, length))).toThrowError(invalid);
    }
    expect(() => parseCertificate(Uint8Array.of(...der, 0))).toThrowError(invalid);
  });

  it('refuses or parses a certificate with any changed byte, without another error', () => {
    const der = new Uint8Array(readFileSync(join(vectorsDir(), 'snp/milan-v2/vcek.der')));
    for (let at = 0; at < der.length; at += 1) {
      for (const mask of [0x01, 0x80, 0xff]) {
        const changed = Uint8Array.from(der);
        changed[at] = (changed[at] ?? 0) ^ mask;
        try {
          parseCertificate(changed);
        } catch (thrown) {
          expect(thrown).toMatchObject({ code: 'EVIDENCE_INVALID' });
        }
      }
    }
  });
});

// Encodings from the rules of ITU-T X.690.
describe('DerReader', () => {
  it.each([
    ['an indefinite length', '30 80 00 00'],
    ['a long length where a short one fits', '04 81 01 00'],
    ['a length with a leading zero', `04 82 00 80 ${'00'.repeat(128)}`],
    ['an element longer than its container', '04 05 00'],
    ['a tag of two bytes', '1f 81 01 00'],
    ['a header without a length', '04'],
    ['trailing bytes', '04 01 00 00'],
  ])('refuses %s', (_, text) => {
    expect(() => readOnly(bytes(text), TAG.octetString, 'value')).toThrowError(invalid);
  });

  it('reads a long length', () => {
    const value = readOnly(bytes(`04 81 80 ${'ab'.repeat(128)}`), TAG.octetString, 'value');
    expect(value.content).toHaveLength(128);
  });
});

describe('integerContent', () => {
  const read = (text: string) => integerContent(new DerReader(bytes(text)).next(), 'number');
  it.each(['02 00', '02 02 00 7f', '02 02 ff 80', '04 01 00'])('refuses %s', (text) => {
    expect(() => read(text)).toThrowError(invalid);
  });
  it.each([
    ['02 01 7f', '7f'],
    ['02 02 00 80', '0080'],
    ['02 01 80', '80'],
  ])('reads %s', (text, content) => {
    expect(hex(read(text))).toBe(content);
  });
});

describe('smallInteger', () => {
  const read = (text: string) => smallInteger(new DerReader(bytes(text)).next(), 'number');
  it('reads a patch level that needs two content bytes', () => {
    expect(read('02 02 00 d9')).toBe(0xd9);
  });
  it.each(['02 01 ff', '02 05 01 00 00 00 00'])('refuses %s', (text) => {
    expect(() => read(text)).toThrowError(invalid);
  });
});

describe('integer', () => {
  it.each([
    [0, '020100'],
    [127, '02017f'],
    [128, '02020080'],
    [65537, '0203010001'],
  ])('writes %i in shortest form', (value, text) => {
    expect(hex(integer(value))).toBe(text);
  });
});

describe('oidText', () => {
  it.each([
    ['1.2.840.113549', '06062a864886f70d'],
    ['2.5.4.3', '0603550403'],
    ['1.3.6.1.4.1.3704.1.3.8', '060a2b060104019c78010308'],
    ['2.999.3', '0603883703'],
  ])('reads and writes %s (X.690 8.19)', (text, der) => {
    expect(oidText(new DerReader(bytes(der)).next(), 'id')).toBe(text);
    expect(hex(oid(text))).toBe(der);
  });
  it.each(['06 00', '06 02 80 01', '06 01 80'])('refuses %s', (text) => {
    expect(() => oidText(new DerReader(bytes(text)).next(), 'id')).toThrowError(invalid);
  });
});

describe('timeMs', () => {
  const utc = (text: string) => ({ tag: TAG.utcTime, content: Buffer.from(text), encoded: Buffer.from('') });
  const general = (text: string) => ({ ...utc(text), tag: TAG.generalizedTime });

  it('agrees with the calendar on every month of a century', () => {
    for (let year = 1950; year < 2050; year += 1) {
      for (let month = 1; month <= 12; month += 1) {
        const two = (n: number): string => String(n).padStart(2, '0');
        const iso = `${year}-${two(month)}-28T23:59:59Z`;
        expect(timeMs(utc(`${two(year % 100)}${two(month)}28235959Z`), 't')).toBe(Date.parse(iso));
        expect(isoTime(Date.parse(iso))).toBe(iso);
      }
    }
  });

  it('reads GeneralizedTime from 2050 on, leap days included', () => {
    expect(timeMs(general('20520229000000Z'), 't')).toBe(Date.parse('2052-02-29T00:00:00Z'));
  });

  it.each([
    utc('2602290000Z'),
    utc('260229000000Z'),
    utc('261301000000Z'),
    utc('260101240000Z'),
    utc('260101000060Z'),
    utc('260101000000+0000'),
    general('20260101000000Z'),
    general('20520230000000Z'),
    general('20520101000000.5Z'),
  ])('refuses $content', (value) => {
    expect(() => timeMs(value, 't')).toThrowError(invalid);
  });
});
