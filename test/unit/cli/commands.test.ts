import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { packDirectory } from '../../../src/archive/pack.ts';
import type { CommandGroup, CommandRow } from '../../../src/cli/command-row.ts';
import { COMMANDS } from '../../../src/cli/commands/table.ts';
import { sha256Text } from '../../../src/crypto/digest.ts';
import { encodePrivateKeyFile, encodePublicKeyFile } from '../../../src/crypto/key-file.ts';
import { encodeKemKey, encodeSigningKey, generateParticipantKeys } from '../../../src/crypto/keys.ts';
import { generateSigningKeyPair } from '../../../src/crypto/signing.ts';
import { signReceipt } from '../../../src/protocol/receipt.ts';
import { generateContentKey, resultSegments, sealContentKey } from '../../../src/protocol/result.ts';
import { writeResultFile } from '../../../src/protocol/result-file.ts';
import { sealStream } from '../../../src/protocol/segment-stream.ts';
import { runCli } from '../../fakes/cli.ts';

function rowsOf(rows: readonly (CommandRow | CommandGroup)[], before = ''): [string, CommandRow][] {
  return rows.flatMap((row) => {
    const name = `${before}${row.name}`;
    return 'commands' in row ? rowsOf(row.commands, `${name} `) : [[name, row] as [string, CommandRow]];
  });
}

describe('the table of commands', () => {
  const rows = rowsOf(COMMANDS);

  it('names every command once', () => {
    const names = rows.map(([name]) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names.length).toBeGreaterThan(40);
  });

  it.each(rows)('%s: loads a file that runs it', async (_name, row) => {
    expect(typeof (await row.load()).run).toBe('function');
  });
});

describe('a usage error', () => {
  it.each([
    [['keys']],
    [['nonsense']],
    [['keys', 'nonsense']],
    [['keys', 'generate']],
    [['keys', 'generate', 'a', 'b']],
    [['keys', 'generate', 'a', '--nonsense']],
    [['keys', 'export', 'a.key']],
    [['keys', 'export', 'a.key', '--out', 'b', '--form', 'der']],
    [['attestation', 'verify', 'x', '--policy', 'p']],
    [['enclave', 'create', '--mode', 'dream']],
  ])('is reported for %j', async (args) => {
    expect(await runCli(...args)).toMatchObject({ exit: 64, error: 'USAGE' });
  });
});

describe('manifest create', () => {
  it('writes what the host may learn of a run', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'cocos-manifest-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const at = (name: string) => path.join(folder, name);
    const keys = generateParticipantKeys();
    writeFileSync(at('ann.key.pub'), encodePublicKeyFile('ann', keys));
    const create = (out: string, ...disclose: string[]) =>
      runCli(
        ...[
          'manifest',
          'create',
          '--name',
          'm',
          '--algorithm',
          `sha256:${'0'.repeat(64)}@${at('ann.key.pub')}`,
        ],
        ...['--consumer', at('ann.key.pub'), ...disclose, '--out', at(out)],
      );
    const bounds = ['exitCode=binary', 'runTimeSeconds=60', 'resultPadding=powerOfTwo', 'log=off'];
    expect(await create('m', ...bounds.flatMap((each) => ['--disclose', each]))).toMatchObject({ exit: 0 });
    expect(JSON.parse(readFileSync(at('m'), 'utf8'))).toMatchObject({
      disclosure: { exitCode: 'binary', runTimeSeconds: 60, resultPadding: 'powerOfTwo', log: 'off' },
    });
    expect(await create('bad', '--disclose', 'exitCode=never')).toMatchObject({ error: 'MANIFEST_INVALID' });
    expect(await create('plain')).toMatchObject({ exit: 0 });
    expect(JSON.parse(readFileSync(at('plain'), 'utf8'))).not.toHaveProperty('disclosure');
  });
});

describe('result open', () => {
  it('unpacks a padded result as its content', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'cocos-open-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const at = (name: string) => path.join(folder, name);
    const { key, bytes } = await sealedResult(at('source'), 5_000_000);
    writeFileSync(at('ann.key'), key, { mode: 0o600 });
    writeFileSync(at('result'), bytes);
    expect(
      await runCli(
        ...['result', 'open', at('result'), '--key', at('ann.key'), '--out', at('out')],
        '--force-unverified',
      ),
    ).toMatchObject({ exit: 0 });
    expect(readdirSync(at('out'))).toEqual(['answer']);
  });

  it('does not replace a folder that was created meanwhile', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'cocos-open-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const at = (name: string) => path.join(folder, name);
    const { key: keyFile, bytes } = await sealedResult(at('source'));
    writeFileSync(at('ann.key'), keyFile, { mode: 0o600 });
    // The command waits in the middle of this file until the rest is written.
    execFileSync('mkfifo', [at('result')]);
    const key = ['--key', at('ann.key'), '--force-unverified'];
    const opening = runCli('result', 'open', at('result'), ...key, '--out', at('out'));
    const pipe = await open(at('result'), 'w');
    await pipe.write(bytes.subarray(0, -1));
    mkdirSync(at('out'));
    await pipe.write(bytes.subarray(-1));
    await pipe.close();
    expect(await opening).toMatchObject({ exit: 73, error: 'FILE_EXISTS' });
    expect(readdirSync(at('out'))).toEqual([]);
    expect(readdirSync(folder).sort()).toEqual(['ann.key', 'out', 'result', 'source']);
  });
});

describe('a result file that anybody could have made', () => {
  it('is neither verified nor opened', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'cocos-forged-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const at = (name: string) => path.join(folder, name);
    // The forger knows the public keys of the consumer and signs the receipt with a key of its own.
    const { key, bytes } = await sealedResult(at('source'));
    writeFileSync(at('ann.key'), key, { mode: 0o600 });
    writeFileSync(at('result'), bytes);
    expect(await runCli('result', 'verify', at('result'))).toMatchObject({ exit: 2 });
    const opening = ['result', 'open', at('result'), '--key', at('ann.key'), '--out', at('out')];
    expect(await runCli(...opening)).toMatchObject({ exit: 2, error: 'RESULT_UNVERIFIED' });
    expect(readdirSync(folder)).not.toContain('out');
    expect(await runCli(...opening, '--force-unverified')).toMatchObject({ exit: 0 });
  });
});

async function* once(bytes: Uint8Array) {
  yield bytes;
}

/** A result with one file, sealed to a new key. */
async function sealedResult(source: string, paddingBytes = 0) {
  mkdirSync(source);
  writeFileSync(path.join(source, 'answer'), '42');
  const chunks: Uint8Array[] = [];
  for await (const chunk of packDirectory(source)) chunks.push(Uint8Array.from(chunk));
  const plain = Buffer.concat([...chunks, Buffer.alloc(paddingBytes)]);
  const digest = sha256Text(plain);
  const keys = generateParticipantKeys();
  const agent = generateSigningKeyPair();
  const contentKey = generateContentKey();
  const terms = {
    computationId: 'c1',
    manifestDigest: digest,
    aead: 'aes-256-gcm' as const,
    segmentSize: 65_536,
  };
  const { bytes: receipt, signature } = signReceipt(
    {
      version: 1,
      computationId: 'c1',
      manifestDigest: digest,
      algorithmDigest: digest,
      datasets: [],
      resultDigest: digest,
      resultSize: plain.length,
      ...(paddingBytes > 0 ? { paddingBytes } : {}),
      evidenceDigest: digest,
      platform: 'emulated',
      runtime: 'python 3.11',
      exitCode: 0,
      startedAt: '2026-01-02T03:04:05Z',
      endedAt: '2026-01-02T03:05:05.123Z',
    },
    agent.secretKey,
  );
  const signing = encodeSigningKey(keys.signing.publicKey);
  const sealedKey = sealContentKey(encodeKemKey(keys.kem), signing, digest, contentKey);
  const header = {
    version: 1 as const,
    ...terms,
    sealedKey,
    receipt,
    signature,
    agentSigningKey: encodeSigningKey(agent.publicKey),
    size: plain.length,
  };
  const file: Uint8Array[] = [];
  const segments = sealStream(once(plain), resultSegments({ ...terms, contentKey }));
  for await (const chunk of writeResultFile(header, segments)) file.push(Uint8Array.from(chunk));
  return { key: encodePrivateKeyFile({ name: 'ann', keys }), bytes: Buffer.concat(file) };
}
