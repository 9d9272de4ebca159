import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { openPolicy, signPolicy } from '../../../src/attestation/policy/signed-policy.ts';
import { signerOf } from '../../../src/cli/commands/attestation/signer.ts';
import { attestationCrypto } from '../../../src/crypto/attestation-crypto.ts';
import { runCli, runCliWith } from '../../fakes/cli.ts';
import { NONCE, referenceJson, scene } from '../../fakes/emulated-host.ts';

const folder = mkdtempSync(join(tmpdir(), 'cocos-policy-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);
const write = (name: string, content: string | Uint8Array): string => {
  writeFileSync(at(name), content);
  return at(name);
};
const text = (name: string): string => readFileSync(at(name), 'utf8');
const keyOf = (name: string): string =>
  z.object({ signing: z.string() }).parse(JSON.parse(text(`${name}.pub`))).signing;
/** DER of SubjectPublicKeyInfo up to the 32 bytes of an Ed25519 key (RFC 8410). */
const ED25519 = Buffer.from('302a300506032b6570032100', 'hex');
const LATER = '2999-01-01T00:00:00Z';

let key: string;
let count = 0;
let profile: string;
beforeAll(async () => {
  for (const name of ['carol', 'mallory'])
    expect((await runCli('keys', 'generate', name, '--out', folder)).exit).toBe(0);
  key = keyOf('carol');
  const { policy, evidence } = await scene();
  write(
    'policy.json',
    JSON.stringify({ version: 1, platforms: ['emulated'], emulatedRoot: policy.emulatedRoot }),
  );
  write(
    'other.json',
    JSON.stringify({
      version: 1,
      platforms: ['emulated'],
      emulatedRoot: policy.emulatedRoot,
      allowDebug: true,
    }),
  );
  write('reference.json', JSON.stringify(referenceJson));
  write('evidence', evidence);
});
beforeEach(() => {
  profile = mkdtempSync(join(folder, 'profile-'));
});

/** A signed policy; the name of its file. */
async function signed(
  version: number,
  more: readonly string[] = [],
  policy = 'policy.json',
  signer = 'carol',
) {
  count += 1;
  const out = at(`signed-${count}.json`);
  const made = await runCli(
    ...['attestation', 'sign-policy', at(policy), '--key', at(`${signer}.key`), '--out', out],
    ...['--policy-version', String(version), '--expires', LATER, ...more],
  );
  expect({ exit: made.exit, message: made.message }).toEqual({ exit: 0, message: undefined });
  return out;
}

/** A signature over a policy that nobody has checked. */
async function unchecked(version: number, policy: string): Promise<string> {
  const { signer } = await signerOf({ key: at('carol.key') });
  const terms = { name: 'policy', policyVersion: version, issuedAt: '2026-01-01T00:00:00Z', expires: LATER };
  const envelope = signPolicy(readFileSync(at(policy)), terms, key, signer);
  return write(`unchecked-${version}.json`, JSON.stringify(envelope));
}

const verify = (policy: string, ...more: string[]) =>
  runCliWith(
    { COCOSAI_PROFILE_DIR: profile },
    ...['attestation', 'verify', at('evidence'), '--policy', policy, '--reference', at('reference.json')],
    ...['--nonce', Buffer.from(NONCE).toString('hex'), '--at', '2026-06-01T00:00:00Z', ...more],
  );
const refused = expect.objectContaining({ exit: 65, error: 'POLICY_INVALID' });

describe('a signed policy', () => {
  it('is accepted only if the requested key signed it', async () => {
    const file = await signed(1);
    expect((await verify(file, '--policy-key', key)).exit).toBe(0);
    expect(await verify(file, '--policy-key', `ed25519:${'A'.repeat(43)}`)).toEqual(refused);
    expect(await verify(at('policy.json'), '--policy-key', key)).toEqual(refused);
    const forged = await signed(1, [], 'policy.json', 'mallory');
    expect(await verify(forged, '--policy-key', key)).toEqual(refused);
  });

  it('is refused without --policy-key by every command, since anybody can sign', async () => {
    const file = await signed(1);
    const run = await verify(file);
    expect(run).toEqual(refused);
    expect(run.message).toContain('--policy-key');
    const chain = write('chain', 'x');
    for (const command of [
      ['verify-snp', '--report', write('report', Buffer.alloc(1300))],
      ['verify-tdx', '--quote', chain, '--collateral', folder],
      ['verify-tpm', '--attest', chain, '--signature', chain, '--key', chain, '--nonce', '00'],
    ]) {
      const { error, message } = await runCli('attestation', ...command, '--policy', file);
      expect({ command, error }).toEqual({ command, error: 'POLICY_INVALID' });
      expect(message).toContain('--policy-key');
    }
  });

  it('has a signature over policy, name, version and dates that openssl verifies, and each of them is covered', async () => {
    const file = await signed(7, ['--name', 'payroll']);
    const envelope = z.record(z.string(), z.unknown()).parse(JSON.parse(readFileSync(file, 'utf8')));
    expect(envelope).toMatchObject({ name: 'payroll', policyVersion: 7, expires: LATER, key });
    const { name, policyVersion, issuedAt, expires } = envelope;
    const terms = JSON.stringify([name, policyVersion, issuedAt, expires]);
    write(
      'message',
      Buffer.concat([Buffer.from(`cocosai policy v2\0${terms}\0`), readFileSync(at('policy.json'))]),
    );
    write('signature', Buffer.from(z.string().parse(envelope['signature']), 'base64url'));
    write('carol.der', Buffer.concat([ED25519, Buffer.from(key.slice('ed25519:'.length), 'base64url')]));
    const files = ['-inkey', at('carol.der'), '-in', at('message'), '-sigfile', at('signature')];
    const check = ['pkeyutl', '-verify', '-pubin', '-keyform', 'DER', '-rawin', ...files];
    expect(execFileSync('openssl', check, { encoding: 'utf8' })).toContain('Verified Successfully');

    const changes = {
      signedPolicy: readFileSync(at('other.json')).toString('base64url'),
      name: 'payrolls',
      policyVersion: 8,
      issuedAt: '2020-01-01T00:00:00Z',
      expires: '3999-01-01T00:00:00Z',
    };
    for (const [member, value] of Object.entries(changes)) {
      const changed = write('changed.json', JSON.stringify({ ...envelope, [member]: value }));
      const run = await verify(changed, '--policy-key', key);
      expect({ member, error: run.error }).toEqual({ member, error: 'POLICY_INVALID' });
      expect(run.message).toContain('the signature of the policy is invalid');
    }
  });

  it('is refused from its expiry on', async () => {
    const json: unknown = JSON.parse(readFileSync(await signed(1), 'utf8'));
    const open = (when: number) => () => openPolicy(json, key, when, attestationCrypto);
    const expiry = Date.parse(LATER);
    expect(open(expiry - 1)().terms.policyVersion).toBe(1);
    expect(open(expiry)).toThrowError(expect.objectContaining({ code: 'POLICY_INVALID' }));
    expect(open(expiry)).toThrowError(/expired at 2999-01-01T00:00:00Z; get the current one/);
    const late = ['--policy-version', '1', '--expires', '2020-01-01T00:00:00Z'];
    const sign = [
      'attestation',
      'sign-policy',
      at('policy.json'),
      '--key',
      at('carol.key'),
      '--out',
      at('late'),
    ];
    // Not before it was issued either, but for the difference of two clocks.
    const issued = Date.parse(z.object({ issuedAt: z.string() }).parse(json).issuedAt);
    expect(open(issued - 60_000)().terms.policyVersion).toBe(1);
    expect(open(issued - 3_600_000)).toThrowError(/in the future/);
    expect(await runCli(...sign, ...late)).toEqual(refused);
    expect((await runCli(...sign, '--expires', LATER)).exit).toBe(64);
    expect((await runCli(...sign, '--expires', LATER, '--policy-version', '0')).exit).toBe(64);
    expect((await runCli(...sign, '--policy-version', '1')).exit).toBe(64);
  });

  it('of an earlier version of the program, without version and expiry, is refused with the next step', async () => {
    const old = { signedPolicy: Buffer.from('{}').toString('base64url'), key, signature: 'A'.repeat(86) };
    const run = await verify(write('old.json', JSON.stringify(old)), '--policy-key', key);
    expect(run).toEqual(refused);
    expect(run.message).toContain('attestation sign-policy');
  });
});

describe('an older version of a signed policy', () => {
  it('is refused after a newer one was accepted, also by the commands on single statements', async () => {
    const [first, second] = [await signed(1, [], 'other.json'), await signed(2)];
    const by = (file: string) => verify(file, '--policy-key', key);
    expect((await by(first)).exit).toBe(0);
    expect((await by(second)).exit).toBe(0);
    const back = await by(first);
    expect(back).toEqual(refused);
    expect(back.message).toContain('version 2');
    expect((await by(second)).exit).toBe(0);
    const snp = await runCliWith(
      { COCOSAI_PROFILE_DIR: profile },
      ...['attestation', 'verify-snp', '--report', write('report', Buffer.alloc(1300))],
      ...['--policy', first, '--policy-key', key],
    );
    expect(snp).toEqual(refused);
  });

  it('is refused whichever of two commands at the same moment is the first', async () => {
    const [second, third] = [await signed(2, [], 'other.json'), await signed(3)];
    const by = (file: string) => verify(file, '--policy-key', key);
    for (let round = 0; round < 8; round++) {
      profile = mkdtempSync(join(folder, 'profile-'));
      const order = round % 2 === 0 ? [second, third] : [third, second];
      await Promise.all(order.map(by));
      expect(await by(second)).toEqual(refused);
      expect((await by(third)).exit).toBe(0);
    }
  });

  it('stays in use when the newer one is no valid policy', async () => {
    const broken = write('broken.json', JSON.stringify({ version: 1, platforms: ['nowhere'] }));
    expect(broken).toBe(at('broken.json'));
    const by = (file: string) => verify(file, '--policy-key', key);
    expect(await by(await unchecked(9, 'broken.json'))).toEqual(refused);
    expect((await by(await signed(8))).exit).toBe(0);
  });

  it('is remembered in the home folder where variables are empty or relative', async () => {
    for (const settings of [
      { XDG_STATE_HOME: '' },
      { COCOSAI_PROFILE_DIR: 'here', XDG_STATE_HOME: 'there' },
    ]) {
      const home = mkdtempSync(join(folder, 'home-'));
      const by = async (version: number) =>
        runCliWith(
          { HOME: home, ...settings },
          ...['attestation', 'verify', at('evidence'), '--policy', await signed(version)],
          ...['--reference', at('reference.json'), '--nonce', Buffer.from(NONCE).toString('hex')],
          ...['--at', '2026-06-01T00:00:00Z', '--policy-key', key],
        );
      expect((await by(2)).exit).toBe(0);
      expect(readdirSync(join(home, '.local/state/cocosai/policies'))).toHaveLength(1);
      expect(await by(1)).toEqual(refused);
    }
  });

  it('is known for each signer and name alone', async () => {
    const by = (file: string, signer = key) => verify(file, '--policy-key', signer);
    expect((await by(await signed(5))).exit).toBe(0);
    expect((await by(await signed(1, ['--name', 'another']))).exit).toBe(0);
    expect((await by(await signed(1, [], 'policy.json', 'mallory'), keyOf('mallory'))).exit).toBe(0);
    expect(await by(await signed(4))).toEqual(refused);
  });

  it('of the same number with another content is refused', async () => {
    expect((await verify(await signed(3), '--policy-key', key)).exit).toBe(0);
    expect((await verify(await signed(3), '--policy-key', key)).exit).toBe(0);
    expect(await verify(await signed(3, [], 'other.json'), '--policy-key', key)).toEqual(refused);
  });

  it('is judged by records that only a valid signature makes, and that are refused when they are damaged', async () => {
    const forged = await signed(9, [], 'policy.json', 'mallory');
    await verify(forged, '--policy-key', key);
    expect(readdirSync(profile)).toEqual([]);
    expect((await verify(await signed(1), '--policy-key', key)).exit).toBe(0);
    const [signer = ''] = readdirSync(join(profile, 'policies'));
    const [record = ''] = readdirSync(join(profile, 'policies', signer));
    const file = join(profile, 'policies', signer, record);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    writeFileSync(file, '{}');
    const damaged = await verify(await signed(1), '--policy-key', key);
    expect({ exit: damaged.exit, error: damaged.error }).toEqual({ exit: 74, error: 'FILE_UNREADABLE' });
  });
});
