import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { runCli } from '../../fakes/cli.ts';
import { eventLog, extendAll, type LogEvent } from '../../fakes/fake-tpm.ts';
import { startTestTpm, type TestTpm, whyNoTpm } from '../agent/tpm/swtpm.ts';

const reason = whyNoTpm();
if (reason !== null) console.warn(`quotes of a live TPM are not tested: ${reason}`);

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const utf8 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const NONCE = 'c0c0'.repeat(16);
const SELECTION = 'sha256:0,1,4,7,8';
const BANKS = ['sha256', 'sha384'] as const;
/** Separators and actions: types whose digest is that of their data. */
const EVENTS: readonly LogEvent[] = [
  { register: 0, type: 8, data: utf8('v\0e\0r\0') },
  { register: 7, type: 4, data: new Uint8Array(4) },
  { register: 4, type: 0x8000_0007, data: utf8('Calling EFI Application from Boot Option') },
  { register: 1, type: 4, data: new Uint8Array(4) },
  { register: 4, type: 4, data: new Uint8Array(4) },
  { register: 8, type: 5, data: utf8('an action') },
];
const Verdict = z.object({ failures: z.array(z.string()) });

describe.skipIf(reason !== null)('quotes of a live TPM, compared with tpm2-tools', () => {
  let tpm: TestTpm;
  const at = (name: string): string => join(tpm.folder, name);
  const log = eventLog(EVENTS, { banks: BANKS });

  beforeAll(async () => {
    tpm = await startTestTpm();
    writeFileSync(at('log'), log);
    for (const event of EVENTS) {
      const digests = BANKS.map((bank) => `${bank}=${hex(extendedDigest(event, bank))}`);
      await tpm.tool('tpm2_pcrextend', `${event.register}:${digests.join(',')}`);
    }
    await tpm.tool('tpm2_createek', '-c', 'ek.ctx', '-G', 'rsa', '-u', 'ek.pub');
    writeFileSync(at('values.txt'), (await tpm.tool('tpm2_pcrread', SELECTION)).output);
  });
  afterAll(() => tpm?.close());

  const verify = (key: string, nonce: string, ...more: string[]) =>
    runCli(
      ...['attestation', 'verify-tpm', '--attest', at('quote'), '--signature', at('signature')],
      ...['--key', at(key), '--nonce', nonce, '--pcrs', at('values.txt'), '--eventlog', at('log'), ...more],
    );

  /** Verdict of another verifier: tpm2_checkquote, which does not support PSS, or openssl. */
  async function crosscheck(scheme: string, hash: string): Promise<void> {
    if (scheme === 'rsapss') {
      // A TPMT_SIGNATURE is scheme, hash and size before the plain signature.
      writeFileSync(at('plain'), readFileSync(at('signature')).subarray(6));
      const pss = ['-sigopt', 'rsa_padding_mode:pss', '-sigopt', 'rsa_pss_saltlen:auto'];
      await tpm.tool(
        'openssl',
        'dgst',
        `-${hash}`,
        ...pss,
        '-verify',
        'ak.pem',
        '-signature',
        'plain',
        'quote',
      );
      return;
    }
    const check = ['-u', 'ak.pem', '-m', 'quote', '-s', 'signature', '-g', hash];
    await tpm.tool('tpm2_checkquote', ...check, '-q', NONCE);
    await expect(tpm.tool('tpm2_checkquote', ...check, '-q', '00')).rejects.toThrow(/tpm2_checkquote/);
  }

  it.each([
    ['ecc', 'sha256', 'ecdsa'],
    ['ecc384', 'sha384', 'ecdsa'],
    ['rsa', 'sha256', 'rsassa'],
    ['rsa', 'sha256', 'rsapss'],
  ])('accepts what tpm2-tools or openssl accept: %s, %s, %s', async (algorithm, hash, scheme) => {
    await tpm.tool('tpm2_flushcontext', '-t');
    const ak = ['-C', 'ek.ctx', '-c', 'ak.ctx', '-G', algorithm, '-g', hash, '-s', scheme];
    await tpm.tool('tpm2_createak', ...ak, '-u', 'ak.pem', '-f', 'pem');
    await tpm.tool('tpm2_readpublic', '-c', 'ak.ctx', '-o', 'ak.pub');
    await tpm.tool('tpm2_flushcontext', '-t');
    const out = ['-m', 'quote', '-s', 'signature', '-o', 'pcrs'];
    await tpm.tool(
      'tpm2_quote',
      '-c',
      'ak.ctx',
      '-l',
      SELECTION,
      '-q',
      NONCE,
      '-g',
      hash,
      '--scheme',
      scheme,
      ...out,
    );
    await crosscheck(scheme, hash);
    for (const [key, values] of [
      ['ak.pem', 'values.txt'],
      ['ak.pub', 'pcrs'],
    ] as const) {
      const run = await verify(key, NONCE, '--pcrs', at(values));
      expect({ exit: run.exit, failures: Verdict.parse(run.json).failures }).toEqual({
        exit: 0,
        failures: [],
      });
    }
    const other = await verify('ak.pem', '00');
    expect({ exit: other.exit, failures: Verdict.parse(other.json).failures }).toEqual({
      exit: 2,
      failures: ['vtpm.qualifying-data'],
    });
  });

  it('replay to the values of tpm2_eventlog and of the TPM', async () => {
    const { output } = await tpm.tool('tpm2_eventlog', 'log');
    const listed = output.slice(output.lastIndexOf('\npcrs:'));
    const { output: live } = await tpm.tool('tpm2_pcrread', 'sha256:0,1,4,7,8+sha384:0,1,4,7,8');
    for (const bank of BANKS) {
      const values = [...extendAll(EVENTS, bank)].map(([pcr, value]) => [String(pcr), hex(value)] as const);
      const run = await runCli('attestation', 'replay', at('log'), '--bank', bank);
      expect(run).toMatchObject({ exit: 0, json: { bank, values: Object.fromEntries(values) } });
      for (const [pcr, value] of values) {
        const row = new RegExp(`\\n\\s*${pcr}\\s*:\\s*0x${value}\\b`, 'i');
        expect(listed).toMatch(row);
        expect(live).toMatch(row);
      }
    }
  });
});

/** The digest with which the event extends its register, in one bank. */
function extendedDigest(event: LogEvent, bank: (typeof BANKS)[number]): Uint8Array {
  const { register, type, data } = event;
  const text = eventLog([{ register, type, data }], { banks: [bank] });
  const size = bank === 'sha256' ? 32 : 48;
  return text.subarray(text.length - data.length - 4 - size, text.length - data.length - 4);
}
