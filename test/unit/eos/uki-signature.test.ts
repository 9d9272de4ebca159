import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { judgeSignature } from '../../../src/cli/trust/uki-signature.ts';

const has = (program: string): boolean => spawnSync(program, ['--version']).error === undefined;
const reason =
  has('sbsign') && has('openssl') ? null : 'sbsign and openssl sign the image of this test; one is missing';
if (reason !== null) console.warn(`signatures of kernel images are not tested: ${reason}`);

/** An empty PE32+ program: headers and one section of 512 bytes. */
function smallProgram(): Buffer {
  const bytes = Buffer.alloc(1024);
  bytes.write('MZ', 0);
  bytes.writeUInt32LE(0x40, 0x3c);
  bytes.write('PE\0\0', 0x40, 'latin1');
  bytes.writeUInt16LE(0x8664, 0x44);
  bytes.writeUInt16LE(1, 0x46);
  bytes.writeUInt16LE(240, 0x54);
  bytes.writeUInt16LE(0x0022, 0x56);
  const optional = 0x58;
  bytes.writeUInt16LE(0x20b, optional);
  bytes.writeUInt32LE(512, optional + 4);
  bytes.writeUInt32LE(0x1000, optional + 16);
  bytes.writeUInt32LE(0x1000, optional + 32);
  bytes.writeUInt32LE(512, optional + 36);
  bytes.writeUInt32LE(0x2000, optional + 56);
  bytes.writeUInt32LE(512, optional + 60);
  bytes.writeUInt16LE(10, optional + 68);
  bytes.writeUInt32LE(16, optional + 108);
  const section = optional + 240;
  bytes.write('.text', section);
  for (const [at, value] of [512, 0x1000, 512, 512].entries())
    bytes.writeUInt32LE(value, section + 8 + at * 4);
  bytes.fill(0xc3, 512);
  return bytes;
}

describe.skipIf(reason !== null)('judgeSignature', () => {
  let folder: string;
  const run = (program: string, ...args: string[]): void => {
    const result = spawnSync(program, args, { cwd: folder, encoding: 'utf8' });
    if (result.status !== 0) throw new Error(`${program}: ${result.stderr}`);
  };
  const certificate = (name: string): Buffer => readFileSync(join(folder, `${name}.der`));

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'cocos-s-'));
    for (const name of ['mine', 'other']) {
      const subject = ['-subj', `/CN=${name}`, '-days', '9', '-nodes'];
      run(
        'openssl',
        'req',
        '-x509',
        '-newkey',
        'rsa:2048',
        ...subject,
        '-keyout',
        `${name}.key`,
        '-out',
        `${name}.pem`,
      );
      run('openssl', 'x509', '-in', `${name}.pem`, '-outform', 'der', '-out', `${name}.der`);
    }
    writeFileSync(join(folder, 'plain.efi'), smallProgram());
    run('sbsign', '--key', 'mine.key', '--cert', 'mine.pem', '--output', 'signed.efi', 'plain.efi');
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('accepts a signature of sbsign only with the certificate of its key', () => {
    const image = readFileSync(join(folder, 'signed.efi'));
    expect(judgeSignature(image, [certificate('other'), certificate('mine')])).toBe('valid');
    expect(judgeSignature(image, [certificate('other')])).toBe('invalid');
    expect(judgeSignature(image, [])).toBe('invalid');
  });

  it('refuses a changed byte in the program or in any part of the signature', () => {
    const image = readFileSync(join(folder, 'signed.efi'));
    const mine = certificate('mine');
    const changed = (at: number): Buffer => {
      const copy = Buffer.from(image);
      copy[at] = (copy[at] ?? 0) ^ 1;
      return copy;
    };
    expect(judgeSignature(changed(600), [mine])).toBe('invalid');
    // The signature is the last thing in the table, but for at most seven bytes of alignment.
    expect(judgeSignature(changed(image.length - 20), [mine])).toBe('invalid');
    expect(judgeSignature(image.subarray(0, image.length - 64), [mine])).toBe('invalid');
  });

  it('distinguishes an unsigned image from one with an invalid signature', () => {
    expect(judgeSignature(smallProgram(), [certificate('mine')])).toBe('unsigned');
  });
});
