import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createOutput } from '../../../src/cli/output.ts';
import { createProgram } from '../../../src/cli/program.ts';
import { CocosError } from '../../../src/errors.ts';

/** Key files as the command line makes, reads and refuses them; openssl is the other program. */

let folder: string;
const at = (name: string) => path.join(folder, name);

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'cocos-keys-'));
  writeFileSync(at('right'), 'correct horse\n', { mode: 0o600 });
  writeFileSync(at('wrong'), 'battery staple\n', { mode: 0o600 });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function cli(...args: readonly string[]): Promise<unknown> {
  const results: unknown[] = [];
  const output = { ...createOutput(true), result: (_: unknown, value: unknown) => void results.push(value) };
  await createProgram(output, {}, () => undefined).parseAsync(['node', 'cocos-cli', ...args]);
  return results[0];
}

async function code(...args: readonly string[]): Promise<string> {
  return cli(...args).then(
    () => 'nothing',
    (thrown: unknown) => CocosError.from(thrown).code,
  );
}

function openssl(...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync('openssl', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return stdout;
}

describe('the keys command', () => {
  it('generates a sealed file with mode 0600, which only the passphrase opens and nothing overwrites', async () => {
    await cli('keys', 'generate', 'ann', '--out', folder, '--passphrase-file', at('right'));
    expect(statSync(at('ann.key')).mode & 0o777).toBe(0o600);
    const before = readFileSync(at('ann.key'), 'utf8');
    expect(await code('keys', 'generate', 'ann', '--out', folder)).toBe('FILE_EXISTS');
    const exported = ['keys', 'export', at('ann.key'), '--out', at('ann.pem')];
    expect(await code(...exported)).toBe('KEY_PASSPHRASE');
    expect(await code(...exported, '--passphrase-file', at('wrong'))).toBe('KEY_PASSPHRASE');
    chmodSync(at('ann.key'), 0o640);
    expect(await code(...exported, '--passphrase-file', at('right'))).toBe('KEY_FILE_PERMISSIONS');
    chmodSync(at('ann.key'), 0o600);
    writeFileSync(at('damaged.key'), before.slice(0, -40), { mode: 0o600 });
    expect(await code('keys', 'export', at('damaged.key'), '--out', at('ann.pem'))).toBe('KEY_FILE_INVALID');
    expect(readFileSync(at('ann.key'), 'utf8')).toBe(before);
    expect(() => statSync(at('ann.pem'))).toThrow();
  });

  it('leaves no private key behind if the public file already exists', async () => {
    writeFileSync(at('bob.pub'), 'mine');
    expect(await code('keys', 'generate', 'bob', '--out', folder)).toBe('FILE_EXISTS');
    expect(() => statSync(at('bob.key'))).toThrow();
    expect(readFileSync(at('bob.pub'), 'utf8')).toBe('mine');
  });

  it.each(['pem', 'jwk'])('imports the exported keys unchanged through %s', async (form) => {
    const name = `x-${form}`;
    openssl('genpkey', '-algorithm', 'X25519', '-out', at(`${name}.kem`));
    openssl('genpkey', '-algorithm', 'ED25519', '-out', at(`${name}.sign`));
    const source = ['--signing', at(`${name}.sign`), '--kem', at(`${name}.kem`), '--out', folder];
    const made = await cli('keys', 'import', name, ...source);
    const shown = await cli('keys', 'show', at(`${name}.pub`));
    expect(shown).toMatchObject({ kem: expect.stringMatching(/^x25519:/) });
    // openssl derives the public key.
    const der = spawnSync('openssl', [
      'pkey',
      '-in',
      at(`${name}.sign`),
      '-pubout',
      '-outform',
      'DER',
    ]).stdout;
    expect(made).toMatchObject({ signing: `ed25519:${der.subarray(-32).toString('base64url')}` });
    for (const which of ['signing', 'kem']) {
      const out = at(`${name}.${which}.out`);
      await cli('keys', 'export', at(`${name}.key`), '--which', which, '--form', form, '--out', out);
      expect(statSync(out).mode & 0o777).toBe(0o600);
      expect(await code('keys', 'export', at(`${name}.key`), '--which', which, '--out', out)).toBe(
        'FILE_EXISTS',
      );
    }
    if (form === 'pem') {
      expect(openssl('pkey', '-in', at(`${name}.signing.out`))).toBe(
        readFileSync(at(`${name}.sign`), 'utf8'),
      );
    }
    const again = ['--signing', at(`${name}.signing.out`), '--kem', at(`${name}.kem.out`), '--out', folder];
    await cli('keys', 'import', `${name}-again`, ...again);
    const copy = await cli('keys', 'show', at(`${name}-again.pub`));
    expect(copy).toEqual({ ...Object(shown), name: `${name}-again` });
  });

  it('reports why a foreign key cannot be imported', async () => {
    openssl(
      'genpkey',
      '-algorithm',
      'ED25519',
      '-aes256',
      '-pass',
      'pass:correct horse',
      '-out',
      at('sealed.pem'),
    );
    const take = (file: string, ...more: string[]) =>
      code('keys', 'import', 'carl', '--signing', at(file), '--out', folder, ...more);
    expect(await take('sealed.pem')).toBe('KEY_PASSPHRASE');
    expect(await take('sealed.pem', '--source-passphrase-file', at('wrong'))).toBe('KEY_PASSPHRASE');
    openssl('genpkey', '-algorithm', 'X25519', '-out', at('other.pem'));
    expect(await take('other.pem')).toBe('KEY_FILE_INVALID');
    writeFileSync(at('none.pem'), 'no key', { mode: 0o600 });
    expect(await take('none.pem')).toBe('KEY_FILE_INVALID');
    chmodSync(at('sealed.pem'), 0o644);
    expect(await take('sealed.pem', '--source-passphrase-file', at('right'))).toBe('KEY_FILE_PERMISSIONS');
    expect(() => statSync(at('carl.key'))).toThrow();
    chmodSync(at('sealed.pem'), 0o600);
    expect(await take('sealed.pem', '--source-passphrase-file', at('right'))).toBe('nothing');
  });

  it('refuses a passphrase for a file that is not sealed', async () => {
    await cli('keys', 'generate', 'open', '--out', folder);
    const given = ['--passphrase-file', at('right')];
    expect(await code('keys', 'export', at('open.key'), '--out', at('open.pem'), ...given)).toBe(
      'KEY_PASSPHRASE',
    );
    expect(await code('keys', 'show', at('open.key'), ...given)).toBe('KEY_PASSPHRASE');
    expect(await code('keys', 'show', at('open.pub'), ...given)).toBe('KEY_PASSPHRASE');
    await cli('keys', 'export', at('open.key'), '--out', at('open.pem'));
    const imported = ['keys', 'import', 'again', '--signing', at('open.pem'), '--out', folder];
    expect(await code(...imported, '--source-passphrase-file', at('right'))).toBe('KEY_PASSPHRASE');
  });

  it.each(['', '\n', '\nsecond line\n', '\r\n', '   \n'])('refuses the empty passphrase %j', async (text) => {
    writeFileSync(at('empty'), text, { mode: 0o600 });
    const sealed = ['keys', 'generate', 'blank', '--out', folder, '--passphrase-file', at('empty')];
    expect(await code(...sealed)).toBe('KEY_PASSPHRASE');
    expect(() => statSync(at('blank.key'))).toThrow();
    await cli('keys', 'generate', 'full', '--out', folder).catch(() => undefined);
    const exported = ['keys', 'export', at('full.key'), '--out', at('full.pem')];
    expect(await code(...exported, '--out-passphrase-file', at('empty'))).toBe('KEY_PASSPHRASE');
    expect(() => statSync(at('full.pem'))).toThrow();
  });

  it.each([0o640, 0o604, 0o620])('refuses a passphrase file with mode %o', async (mode) => {
    writeFileSync(at('shared'), 'correct horse\n');
    chmodSync(at('shared'), mode);
    const sealed = ['keys', 'generate', 'shared', '--out', folder, '--passphrase-file', at('shared')];
    expect(await code(...sealed)).toBe('KEY_FILE_PERMISSIONS');
    expect(() => statSync(at('shared.key'))).toThrow();
  });

  it('reports a file that is not a private key as such, whatever its mode', async () => {
    await cli('keys', 'generate', 'pair', '--out', folder);
    writeFileSync(at('wages.csv'), 'name,wage\nann,10\n', { mode: 0o644 });
    for (const wrong of ['wages.csv', 'pair.pub']) {
      expect(await code('keys', 'export', at(wrong), '--out', at('none.pem'))).toBe('KEY_FILE_INVALID');
    }
    expect(await code('keys', 'import', 'dora', '--signing', at('wages.csv'), '--out', folder)).toBe(
      'KEY_FILE_INVALID',
    );
  });

  it('lists sealed, plain and damaged files without a passphrase', async () => {
    const listed = await cli('keys', 'list', folder);
    expect(listed).toContainEqual(expect.objectContaining({ file: 'ann.key', state: 'private, sealed' }));
    expect(listed).toContainEqual(
      expect.objectContaining({ file: 'x-pem.key', state: 'private, not sealed' }),
    );
    expect(listed).toContainEqual(
      expect.objectContaining({ file: 'damaged.key', state: 'KEY_FILE_INVALID' }),
    );
  });
});

describe('a checksum', () => {
  it('equals that of sha256sum and openssl for a file', async () => {
    const file = at('some');
    writeFileSync(file, 'some bytes');
    const [sha256] = spawnSync('sha256sum', [file], { encoding: 'utf8' }).stdout.split(' ');
    expect(await cli('checksum', file)).toEqual({ path: file, digest: `sha256:${sha256}`, size: 10 });
    const sha3 = openssl('dgst', '-sha3-256', '-r', file).split(' ')[0];
    expect(await cli('checksum', file, '--algorithm', 'sha3-256')).toMatchObject({
      digest: `sha3-256:${sha3}`,
    });
    expect(await code('checksum', at('nowhere'))).toBe('FILE_NOT_FOUND');
  });

  it('of a folder equals that of the Go CocosAI', async () => {
    const tree = mkdtempSync(path.join(folder, 'zip-'));
    writeFileSync(path.join(tree, 'a.txt'), 'hello\n');
    chmodSync(path.join(tree, 'a.txt'), 0o644);
    const zone = process.env['TZ'];
    process.env['TZ'] = 'UTC';
    try {
      expect(await cli('checksum', tree, '--algorithm', 'sha3-256', '--folder-as', 'zip')).toMatchObject({
        digest: 'sha3-256:3da286b32d01e000d3a4246ec83948df30efffee0d9fd7dc8161fcfa6ade2014',
        size: 148,
      });
    } finally {
      if (zone === undefined) delete process.env['TZ'];
      else process.env['TZ'] = zone;
    }
  });

  it('of a folder equals the digest that a manifest contains for it', async () => {
    const tree = mkdtempSync(path.join(folder, 'tree-'));
    writeFileSync(path.join(tree, 'a'), 'a');
    const first = await cli('checksum', tree);
    writeFileSync(path.join(tree, 'b'), 'b');
    expect(await cli('checksum', tree)).not.toEqual(first);
    rmSync(path.join(tree, 'b'));
    expect(await cli('checksum', tree)).toEqual(first);
  });
});
