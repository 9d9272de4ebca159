import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import * as command from '../../../../src/agent/evidence/tpm/commands.ts';
import { Tpm } from '../../../../src/agent/evidence/tpm/tpm.ts';
import { startTestTpm, type TestTpm, whyNoTpm } from './swtpm.ts';

const reason = whyNoTpm();
if (reason !== null) console.warn(`TPM tests are skipped: ${reason}`);

const ATTRIBUTES = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign';
const NV = 0x0150_0016;
const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('hex');
const codeOf = (bytes: Buffer): number => bytes.readUInt32BE(6);

/** Empty password for one handle, as TPMS_AUTH_COMMAND of part 2 defines it. */
const PASSWORD = Buffer.from('400000090000000000', 'hex');

/**
 * A command of the tools with a password instead of each HMAC session, which differs in every run.
 *
 * @param handles number of handles of this command; each that is authorized has one session
 */
function withPassword(bytes: Buffer, handles: number): Buffer {
  const authorization = 10 + 4 * handles;
  let at = authorization + 4;
  const end = at + bytes.readUInt32BE(authorization);
  let sessions = 0;
  while (at < end) {
    at += 4;
    at += 2 + bytes.readUInt16BE(at) + 1;
    at += 2 + bytes.readUInt16BE(at);
    sessions += 1;
  }
  const area = Buffer.concat(Array.from({ length: sessions }, () => PASSWORD));
  const size = Buffer.alloc(4);
  size.writeUInt32BE(area.length);
  const result = Buffer.concat([bytes.subarray(0, authorization), size, area, bytes.subarray(end)]);
  result.writeUInt32BE(result.length, 2);
  return result;
}

describe.skipIf(reason !== null)('a TPM command equals that of tpm2-tools', () => {
  let tpm: TestTpm;
  let client: Tpm;

  beforeAll(async () => {
    tpm = await startTestTpm();
    client = new Tpm(tpm.port);
    writeFileSync(join(tpm.folder, 'data'), Buffer.alloc(700, 0x5a));
    const define = [`0x${NV.toString(16)}`, '-C', 'o', '-s', '700', '-a', 'ownerread|authread|ownerwrite'];
    await tpm.tool('tpm2_nvdefine', ...define);
    await tpm.tool('tpm2_nvwrite', `0x${NV.toString(16)}`, '-C', 'o', '-i', 'data');
  });
  // The TPM holds at most three objects, and the tools do not flush theirs.
  afterEach(() => tpm.tool('tpm2_flushcontext', '-t'));
  afterAll(() => tpm.close());

  async function sent(code: number, name: string, ...args: string[]): Promise<Buffer> {
    const { commands } = await tpm.tool(name, ...args);
    const found = commands.find((bytes) => codeOf(bytes) === code);
    if (found === undefined) throw new Error(`${name} sent no 0x${code.toString(16)}`);
    return found;
  }

  it.each([
    ['P-256', 'ecc256:ecdsa-sha256:null', 'ak256.ctx'],
    ['P-384', 'ecc384:ecdsa-sha384:null', 'ak384.ctx'],
  ] as const)('for CreatePrimary of %s', async (curve, kind, file) => {
    const args = ['-C', 'e', '-G', kind, '-g', 'sha256', '-a', ATTRIBUTES, '-c', file];
    const theirs = await sent(0x131, 'tpm2_createprimary', ...args);
    expect(hex(command.createAttestationKey(curve))).toBe(hex(withPassword(theirs, 1)));
  });

  it.each([
    ['P-256', 'sha256', 'ak256.ctx'],
    ['P-384', 'sha384', 'ak384.ctx'],
  ] as const)('for Quote with %s', async (curve, hash, file) => {
    const list = ['-l', 'sha256:0,4,7,9,11,15,23', '-g', hash, '-q', '00112233'];
    const theirs = await sent(0x158, 'tpm2_quote', '-c', file, ...list, '-m', 'm', '-s', 's');
    const key = theirs.readUInt32BE(10);
    const selection = { bank: 'sha256', pcrs: [0, 4, 7, 9, 11, 15, 23] } as const;
    const ours = command.quote(key, curve, Buffer.from('00112233', 'hex'), [selection]);
    expect(hex(ours)).toBe(hex(withPassword(theirs, 1)));
  });

  it('for ReadPublic and FlushContext', async () => {
    const read = await sent(0x173, 'tpm2_readpublic', '-c', 'ak256.ctx');
    expect(hex(command.readPublic(read.readUInt32BE(10)))).toBe(hex(read));
    const handle = `0x${read.readUInt32BE(10).toString(16)}`;
    const flush = await sent(0x165, 'tpm2_flushcontext', handle);
    expect(hex(command.flushContext(read.readUInt32BE(10)))).toBe(hex(flush));
  });

  it('for PCR_Read of two banks', async () => {
    const theirs = await sent(0x17e, 'tpm2_pcrread', 'sha256:0,8,23+sha384:1,16');
    const ours = command.pcrRead([
      { bank: 'sha256', pcrs: [0, 8, 23] },
      { bank: 'sha384', pcrs: [1, 16] },
    ]);
    expect(hex(ours)).toBe(hex(theirs));
  });

  it('for PCR_Extend of two banks', async () => {
    const theirs = await sent(
      0x182,
      'tpm2_pcrextend',
      `16:sha256=${'11'.repeat(32)},sha384=${'22'.repeat(48)}`,
    );
    const ours = command.pcrExtend(16, [
      { bank: 'sha256', digest: Buffer.alloc(32, 0x11) },
      { bank: 'sha384', digest: Buffer.alloc(48, 0x22) },
    ]);
    expect(hex(ours)).toBe(hex(theirs));
  });

  it('for GetRandom', async () => {
    expect(hex(command.getRandom(20))).toBe(hex(await sent(0x17b, 'tpm2_getrandom', '20')));
  });

  it('for NV_ReadPublic and NV_Read', async () => {
    const index = `0x${NV.toString(16)}`;
    const area = await sent(0x169, 'tpm2_nvreadpublic', index);
    expect(hex(command.nvReadPublic(NV))).toBe(hex(area));
    const theirs = await sent(0x14e, 'tpm2_nvread', index, '-C', index, '-s', '300', '--offset', '40');
    expect(hex(command.nvRead(NV, 40, 300))).toBe(hex(withPassword(theirs, 2)));
  });

  it('reads back what the tools wrote and measured', async () => {
    expect(hex(await client.readNv(NV))).toBe('5a'.repeat(700));
    await tpm.tool('tpm2_pcrextend', `15:sha256=${'ab'.repeat(32)}`);
    const expected = createHash('sha256')
      .update(Buffer.alloc(32))
      .update(Buffer.alloc(32, 0xab))
      .digest('hex');
    const values = await client.readPcrs(
      'sha256',
      Array.from({ length: 24 }, (_, pcr) => pcr),
    );
    expect(values.size).toBe(24);
    expect(hex(values.get(15))).toBe(expected);
  });

  it('gives random bytes of the length asked for, each time others', async () => {
    const first = await client.random(100);
    expect(first).toHaveLength(100);
    expect(hex(await client.random(100))).not.toBe(hex(first));
  });

  it.each(['P-256', 'P-384'] as const)(
    'makes quotes with %s that tpm2_checkquote verifies',
    async (curve) => {
      const key = await client.createAttestationKey(curve);
      const pcrs = [0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 15];
      const selection = { bank: 'sha256', pcrs } as const;
      const qualifying = createHash('sha256').update('challenge').digest();
      const quote = await client.quote(key.handle, curve, qualifying, [selection]);
      writeFileSync(join(tpm.folder, 'quote'), quote.attest);
      writeFileSync(join(tpm.folder, 'signature'), quote.signature);
      const handle = `0x${key.handle.toString(16)}`;
      await tpm.tool('tpm2_readpublic', '-c', handle, '-f', 'pem', '-o', 'ak.pem');
      const hash = curve === 'P-256' ? 'sha256' : 'sha384';
      const files = ['-u', 'ak.pem', '-m', 'quote', '-s', 'signature', '-g', hash];
      await tpm.tool('tpm2_checkquote', ...files, '-q', qualifying.toString('hex'));
      await expect(tpm.tool('tpm2_checkquote', ...files, '-q', '00')).rejects.toThrow(/tpm2_checkquote/);
      expect(hex((await client.readPublic(key.handle)).publicArea)).toBe(hex(key.publicArea));
      // The name is the digest of the public area with its algorithm (part 1, 16).
      expect(hex(key.name)).toBe(`000b${createHash('sha256').update(key.publicArea).digest('hex')}`);
      await client.flush(key.handle);
      await expect(client.readPublic(key.handle)).rejects.toMatchObject({ code: 'TPM_FAILED' });
    },
  );
});
