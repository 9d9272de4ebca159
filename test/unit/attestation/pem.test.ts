import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { classifyCollateral } from '../../../src/attestation/collateral/collateral-files.ts';
import { parseCertificateTable } from '../../../src/attestation/snp/certificate-table.ts';
import { certificateDers, pemBlocks } from '../../../src/attestation/x509/pem.ts';
import { runCli } from '../../fakes/cli.ts';
import { ASK_SERIAL, AT, arkList, createAmd, createReport } from '../../fakes/fake-amd.ts';
import { toPem } from '../../fakes/x509-issuer.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'cocos-pem-'));
afterAll(() => rmSync(folder, { recursive: true }));
const write = (name: string, content: string | Uint8Array): string => {
  const file = path.join(folder, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, content);
  return file;
};

const amd = await createAmd('Milan');
const evidence = createReport(amd);
const [vcek = new Uint8Array(), ask = new Uint8Array(), ark = new Uint8Array()] = evidence.certificates;
const clean = toPem(arkList(amd, []), 'X509 CRL');
const revoking = toPem(arkList(amd, [ASK_SERIAL]), 'X509 CRL');
const replaced = (text: string, index: number, character: string): string =>
  text.slice(0, index) + character + text.slice(index + 1);
/** Index of a character in the second line, which is base64. */
const INSIDE = revoking.indexOf('\n') + 20;

const DAMAGED = {
  'a character that is not base64': clean + replaced(revoking, INSIDE, '!'),
  'a byte that is not ASCII': clean + replaced(revoking, INSIDE, '\u00e9'),
  'no END line': clean + revoking.replace(/-----END.*/, ''),
  'no END line before another block': revoking.replace(/-----END.*/, '') + clean,
  'no BEGIN line': clean + revoking.replace(/-----BEGIN.*/, ''),
  'a misspelt BEGIN line': clean + revoking.replace('BEGIN', 'BEG1N'),
  'two misspelt lines': clean + revoking.replace('BEGIN', 'BEG1N').replace('END', 'EMD'),
  'a dash less on both lines': clean + revoking.replaceAll('-----', '----'),
  'a character less': clean + revoking.slice(0, INSIDE) + revoking.slice(INSIDE + 1),
};

describe('A damaged PEM block', () => {
  it('is an error wherever one of its characters is wrong', () => {
    const skipped = [...revoking.trimEnd()].flatMap((character, index) => {
      const isEndOfLine = character === '\n';
      try {
        // A line break may be anywhere inside the base64, but not another character.
        const blocks = pemBlocks(clean + replaced(revoking, index, isEndOfLine ? '!' : '~'));
        return [`${index}: ${blocks.length} blocks`];
      } catch {
        return [];
      }
    });
    expect(skipped).toEqual([]);
  });

  it.each(Object.entries(DAMAGED))(
    'is refused by the command line with the file named: %s',
    async (_, text) => {
      const list = write('lists.pem', text);
      const policy = write(
        'policy.json',
        JSON.stringify({ version: 1, platforms: ['snp'], snp: { trustedRoots: amd.trustedRoots } }),
      );
      const run = await runCli(
        ...['attestation', 'verify-snp', '--report', write('report.bin', evidence.report)],
        ...['--vcek', write('vcek.der', vcek), '--chain', write('chain.pem', toPem(ask) + toPem(ark))],
        ...['--crl', list, '--policy', policy, '--at', new Date(AT).toISOString()],
      );
      expect(run).toMatchObject({ exit: 74, error: 'FILE_UNREADABLE' });
      expect(run.message).toContain(list);
    },
  );

  it.each(Object.entries(DAMAGED))('stops an import and a folder of collateral: %s', async (_, text) => {
    const file = write('damaged/lists.pem', text);
    const imported = await runCli('attestation', 'collateral', 'import', file, '--collateral', folder);
    expect(imported).toMatchObject({ exit: 74, error: 'FILE_UNREADABLE' });
    expect(imported.message).toContain(file);
    const verified = await runCli(
      ...['attestation', 'verify-tdx', '--quote', write('quote.bin', new Uint8Array(64))],
      ...['--collateral', path.dirname(file)],
    );
    expect(verified).toMatchObject({ exit: 74, error: 'FILE_UNREADABLE' });
    expect(verified.message).toContain(file);
  });

  it('is an error in a percent-encoded header and in a JSON file with all collateral', () => {
    const chain = toPem(ask).replace('END', 'EMD');
    const bytes = (text: string) => new TextEncoder().encode(text);
    expect(() => classifyCollateral(bytes(encodeURIComponent(chain)))).toThrow(/malformed PEM/);
    const whole = {
      tcb_info: '{}',
      tcb_info_signature: '00'.repeat(64),
      root_ca_crl: clean.replaceAll('-----', ''),
    };
    expect(() => classifyCollateral(bytes(JSON.stringify(whole)))).toThrow('root_ca_crl');
  });

  it('is an error of signed JSON too, which is not taken for another kind of file', () => {
    const bytes = (text: string) => new TextEncoder().encode(text);
    for (const text of ['{"tcbInfo":{"id":"TDX"', '{"enclaveIdentity":{},', '{"tcb_info":"{}"}'])
      expect(() => classifyCollateral(bytes(text))).toThrow(/collateral|tcb_info/);
    expect(classifyCollateral(bytes('{"something":"else"'))).toBeNull();
  });

  it('is an error in a certificate table', () => {
    const damaged = new TextEncoder().encode(toPem(ask).replace('-----END', '----END'));
    expect(() =>
      parseCertificateTable(
        table([
          [VCEK, vcek],
          [ASK, damaged],
        ]),
      ),
    ).toThrow(/certificate table/);
  });
});

const VCEK = '63da758de6644564adc5f4b93be8accd';
const VLEK = 'a8074bc2a25a483eaae639c045a0b8a1';
const ASK = '4ab7b379bbac4fe4a02f05aef327c782';

/** A table of GUID and data (GHCB specification, extended guest request); an offset replaces the right one. */
function table(entries: readonly (readonly [string, Uint8Array, number?])[]): Uint8Array {
  let at = 24 * (entries.length + 1);
  const heads = entries.map(([guid, data, offset]) => {
    const head = Buffer.alloc(24);
    head.write(guid, 'hex');
    head.writeUInt32LE(offset ?? at, 16);
    head.writeUInt32LE(data.length, 20);
    at += data.length;
    return head;
  });
  return Uint8Array.from(Buffer.concat([...heads, Buffer.alloc(24), ...entries.map(([, data]) => data)]));
}

describe('PEM', () => {
  it('may follow the text that openssl writes before it, of any length', () => {
    const file = write('vcek.pem', toPem(vcek));
    const text = execFileSync('openssl', ['x509', '-in', file, '-text']);
    expect(text.indexOf('-----BEGIN')).toBeGreaterThan(2048);
    expect(certificateDers(Uint8Array.from(text))).toEqual([vcek]);
    expect(
      parseCertificateTable(
        table([
          [VCEK, Uint8Array.from(text)],
          [ASK, ask],
        ]),
      ),
    ).toEqual([vcek, ask]);
  });

  it('may have comments with rules of dashes', () => {
    const text = `# ---------- the list ----------\n${clean}\n----- end of the list -----\n`;
    expect(pemBlocks(text).map(({ label }) => label)).toEqual(['X509 CRL']);
  });
});

describe('A certificate table', () => {
  it.each([
    ['at offset 0', 0],
    ['behind the data', undefined],
    ['inside another entry', 100],
  ])('may list a certificate that is not there: %s', (_, offset) => {
    const none: readonly [string, Uint8Array, number?] =
      offset === undefined ? [VLEK, new Uint8Array()] : [VLEK, new Uint8Array(), offset];
    expect(parseCertificateTable(table([[VCEK, vcek], [ASK, ask], none]))).toEqual([vcek, ask]);
  });
});
