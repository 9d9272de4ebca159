import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { SECURE_BOOT_KEYS, testImage, whyNoGuests } from '../guest/test-image.ts';
import { ROOT } from '../harness/system.ts';

const reason = whyNoGuests();
if (reason !== null) console.warn(`tests of signed images are skipped: ${reason}`);

const CLI = path.join(ROOT, 'dist/cocos-cli.js');
const Verdict = z.looseObject({ accepted: z.boolean(), signature: z.string(), sumsSignature: z.string() });

describe.skipIf(reason !== null)('eos verify of a signed image', () => {
  let scratch: string;
  let image: string;
  const at = (name: string): string => path.join(scratch, 'image', name);

  beforeAll(() => {
    image = path.dirname(testImage('eos-signed').kernel);
    scratch = mkdtempSync(path.join(tmpdir(), 'cocos-v-'));
    cpSync(image, path.join(scratch, 'image'), { recursive: true });
  });
  beforeEach(() => {
    for (const name of ['SHA256SUMS', 'SHA256SUMS.sig', 'cmdline'])
      writeFileSync(at(name), readFileSync(path.join(image, name)));
  });
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  function verify(...options: string[]) {
    const args = [CLI, 'eos', 'verify', path.join(scratch, 'image'), ...options, '-o', 'json'];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    expect(stderr).toBe('');
    const verdict = Verdict.parse(JSON.parse(stdout));
    expect(status).toBe(verdict.accepted ? 0 : 2);
    return verdict;
  }

  it('accepts it as it is, by the certificate given and by those of its firmware', () => {
    const right = { accepted: true, signature: 'valid', sumsSignature: 'valid' };
    expect(verify()).toMatchObject(right);
    expect(verify('--certificate', path.join(SECURE_BOOT_KEYS, 'db.crt'))).toMatchObject(right);
  });

  it('has a signature of its sums that openssl verifies', () => {
    const key = spawnSync('openssl', [
      'x509',
      '-in',
      path.join(SECURE_BOOT_KEYS, 'db.crt'),
      '-noout',
      '-pubkey',
    ]);
    writeFileSync(path.join(scratch, 'key.pem'), key.stdout);
    const files = ['-signature', at('SHA256SUMS.sig'), at('SHA256SUMS')];
    const check = spawnSync('openssl', [
      'dgst',
      '-sha256',
      '-verify',
      path.join(scratch, 'key.pem'),
      ...files,
    ]);
    expect(check.stdout.toString()).toContain('Verified OK');
  });

  it('refuses a signature by another key', () => {
    expect(verify('--certificate', path.join(SECURE_BOOT_KEYS, 'PK.crt'))).toMatchObject({
      accepted: false,
      sumsSignature: 'invalid',
    });
  });

  it('refuses a changed signature', () => {
    const bytes = readFileSync(at('SHA256SUMS.sig'));
    bytes[9] = (bytes[9] ?? 0) ^ 1;
    writeFileSync(at('SHA256SUMS.sig'), bytes);
    expect(verify()).toMatchObject({ accepted: false, signature: 'valid', sumsSignature: 'invalid' });
  });

  it('refuses a changed file whose sum was changed with it', () => {
    const before = createHash('sha256')
      .update(readFileSync(at('cmdline')))
      .digest('hex');
    const changed = readFileSync(at('cmdline'), 'utf8').replace('quiet', 'debug');
    writeFileSync(at('cmdline'), changed);
    const after = createHash('sha256').update(changed).digest('hex');
    writeFileSync(at('SHA256SUMS'), readFileSync(at('SHA256SUMS'), 'utf8').replace(before, after));
    expect(verify()).toMatchObject({ accepted: false, files: expect.any(Array), sumsSignature: 'invalid' });
  });

  it('refuses a missing signature unless it is allowed', () => {
    rmSync(at('SHA256SUMS.sig'));
    expect(verify()).toMatchObject({ accepted: false, signature: 'valid', sumsSignature: 'unsigned' });
    expect(verify('--allow-unsigned-sums')).toMatchObject({ accepted: true, sumsSignature: 'unsigned' });
  });
});
