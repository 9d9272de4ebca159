import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packDirectory } from '../../../src/archive/pack.ts';
import { encodeClaims } from '../../../src/attestation/evidence/claims.ts';
import { concat, fromHex, utf8 } from '../../../src/crypto/bytes.ts';
import { canonicalDigest, sha256Text } from '../../../src/crypto/digest.ts';
import { encodePrivateKeyFile } from '../../../src/crypto/key-file.ts';
import { encodeKemKey, encodeSigningKey, generateParticipantKeys } from '../../../src/crypto/keys.ts';
import { generateSigningKeyPair, type SigningKeyPair } from '../../../src/crypto/signing.ts';
import { Manifest } from '../../../src/machines/manifest.ts';
import { type Receipt, signReceipt } from '../../../src/protocol/receipt.ts';
import { generateContentKey, resultSegments, sealContentKey } from '../../../src/protocol/result.ts';
import type { ResultAudit } from '../../../src/protocol/result-audit.ts';
import { encodeResultHeader, writeResultFile } from '../../../src/protocol/result-file.ts';
import { sealStream } from '../../../src/protocol/segment-stream.ts';
import { runCli } from '../../fakes/cli.ts';
import { DAY, NONCE, NOW, referenceJson, scene, claims as someClaims } from '../../fakes/emulated-host.ts';
import { chunked, collect } from '../crypto/support.ts';

/** Result files of an emulated enclave, and forgeries of them. */

const SEGMENT = 65_536;
const DIGEST = `sha256:${'0'.repeat(64)}`;
const consumer = generateParticipantKeys();
const stranger = generateParticipantKeys();
const provider = encodeSigningKey(generateSigningKeyPair().publicKey);
const consumerKeys = {
  signing: encodeSigningKey(consumer.signing.publicKey),
  kem: encodeKemKey(consumer.kem),
};
const manifest = Manifest.parse({
  version: 1,
  id: 'c1',
  name: 'wages',
  algorithm: { kind: 'python', digest: DIGEST, provider },
  datasets: [{ name: 'wages', digest: DIGEST, provider }],
  consumers: [consumerKeys],
});
const manifestDigest = canonicalDigest(manifest);

let folder: string;
const at = (name: string) => path.join(folder, name);
let plain: Uint8Array;
let policyJson: unknown;

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'cocos-verify-'));
  mkdirSync(at('source'));
  writeFileSync(at('source/answer'), Buffer.alloc(SEGMENT, 'answer'));
  plain = concat(...(await collect(packDirectory(at('source')))));
  policyJson = (await scene()).policy;
  writeFileSync(at('policy'), JSON.stringify(policyJson));
  writeFileSync(at('policy2'), JSON.stringify({ ...Object(policyJson), maxAgeSeconds: 600 }));
  writeFileSync(at('reference'), JSON.stringify(referenceJson));
  writeFileSync(at('reference2'), JSON.stringify({ ...referenceJson, eosVersion: 'eos-2' }));
  writeFileSync(at('manifest'), JSON.stringify(manifest));
  writeFileSync(at('manifest2'), JSON.stringify({ ...manifest, name: 'other' }));
  const write = (name: string, keys: typeof consumer) =>
    writeFileSync(at(name), encodePrivateKeyFile({ name: 'x', keys }), { mode: 0o600 });
  write('key', consumer);
  write('key2', stranger);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** An enclave that runs the agent with this signing key, and its evidence. */
async function enclave(agent: SigningKeyPair, platformManifest = manifestDigest) {
  const claims = {
    ...someClaims,
    kemKeys: [...someClaims.kemKeys],
    signingKey: agent.publicKey,
    manifestDigest: fromHex(platformManifest.slice('sha256:'.length)),
  };
  const { evidence } = await scene({ claims });
  return { agent, evidence, claimsDigest: sha256Text(encodeClaims(claims)) };
}
type Enclave = Awaited<ReturnType<typeof enclave>>;

interface Changes {
  readonly receipt?: Partial<Receipt>;
  readonly signer?: SigningKeyPair;
  readonly version?: 1 | 2;
  readonly audit?: Partial<ResultAudit>;
}

async function resultFile(of: Enclave, changes: Changes = {}): Promise<Uint8Array> {
  const contentKey = generateContentKey();
  const terms = { manifestDigest, computationId: 'c1', aead: 'aes-256-gcm' as const, segmentSize: SEGMENT };
  const segments = await collect(sealStream(chunked(plain, 9999), resultSegments({ ...terms, contentKey })));
  const signer = changes.signer ?? of.agent;
  const version = changes.version ?? 2;
  const { bytes: receipt, signature } = signReceipt(
    {
      version: 1,
      computationId: 'c1',
      manifestDigest,
      algorithmDigest: DIGEST,
      datasets: [{ name: 'wages', digest: DIGEST }],
      resultDigest: sha256Text(plain),
      resultSize: plain.length,
      ...(version === 2 ? { sealedDigest: sha256Text(concat(...segments.map(({ bytes }) => bytes))) } : {}),
      evidenceDigest: of.claimsDigest,
      platform: 'emulated',
      runtime: 'python 3.11',
      exitCode: 0,
      startedAt: '2026-01-02T03:04:05Z',
      endedAt: '2026-01-02T03:05:05.123Z',
      ...changes.receipt,
    },
    signer.secretKey,
  );
  const header = {
    version,
    ...(version === 2 ? { recipient: consumerKeys.signing } : {}),
    ...terms,
    sealedKey: sealContentKey(consumerKeys.kem, consumerKeys.signing, manifestDigest, contentKey),
    receipt,
    signature,
    agentSigningKey: encodeSigningKey(signer.publicKey),
    size: plain.length,
  };
  const policy = readFileSync(at('policy'));
  const reference = readFileSync(at('reference'));
  const audit: ResultAudit = {
    evidence: of.evidence,
    nonce: NONCE,
    nonceIssuedAt: NOW - 1000,
    appraisedAt: NOW,
    policy: { digest: canonicalDigest(policyJson), content: policy },
    reference: { digest: sha256Text(reference), content: reference },
    collateral: { certificates: [], revocationLists: [], tcbInfos: [], qeIdentities: [] },
    ...changes.audit,
  };
  async function* sealed() {
    yield* segments;
  }
  return concat(...(await collect(writeResultFile(header, sealed(), version === 2 ? audit : undefined))));
}

const trust = (change: Partial<Record<'manifest' | 'policy' | 'reference', string>> = {}) => [
  ...['--manifest', at(change.manifest ?? 'manifest'), '--policy', at(change.policy ?? 'policy')],
  ...['--reference', at(change.reference ?? 'reference')],
];

async function verify(file: Uint8Array, ...options: string[]) {
  writeFileSync(at('result'), file);
  const { exit, json, error } = await runCli('result', 'verify', at('result'), ...options);
  const { outcome, checks = [] }: { outcome?: string; checks?: { name: string; outcome: string }[] } =
    Object(json);
  const named = (which: string) => checks.filter((check) => check.outcome === which).map(({ name }) => name);
  return { exit, error, outcome, failed: named('failed'), missing: named('missing') };
}

describe('result verify', () => {
  it('verifies a result of the enclave offline, with and without the key', async () => {
    const file = await resultFile(await enclave(generateSigningKeyPair()));
    const verified = { exit: 0, outcome: 'verified', failed: [], missing: [] };
    expect(await verify(file, ...trust())).toMatchObject(verified);
    expect(await verify(file, ...trust(), '--key', at('key'))).toMatchObject(verified);
  });

  it('reports what is missing, and does not call the result verified', async () => {
    const file = await resultFile(await enclave(generateSigningKeyPair()));
    expect(await verify(file)).toMatchObject({
      exit: 2,
      outcome: 'unverified',
      failed: [],
      missing: ['manifest', 'policy', 'reference', 'evidence'],
    });
    expect(await verify(file, '--manifest', at('manifest'))).toMatchObject({
      exit: 2,
      outcome: 'unverified',
    });
    expect(await verify(file, ...trust().slice(2))).toMatchObject({
      exit: 2,
      missing: ['manifest', 'evidence'],
    });
  });

  it('reads a file of version 1, and needs the evidence and the key for it', async () => {
    const of = await enclave(generateSigningKeyPair());
    const file = await resultFile(of, { version: 1 });
    expect(await verify(file, ...trust())).toMatchObject({
      exit: 2,
      missing: ['body', 'evidence'],
      failed: [],
    });
    writeFileSync(at('evidence'), of.evidence);
    const nonce = ['--nonce', Buffer.from(NONCE).toString('hex')];
    const more = [
      '--evidence',
      at('evidence'),
      ...nonce,
      '--at',
      new Date(NOW).toISOString(),
      '--key',
      at('key'),
    ];
    expect(await verify(file, ...trust(), ...more)).toMatchObject({ exit: 0, outcome: 'verified' });
  });

  it('rejects forgeries and names what is wrong', async () => {
    const of = await enclave(generateSigningKeyPair());
    const forger = generateSigningKeyPair();
    const other = await enclave(forger, DIGEST);
    const cases: readonly (readonly [string, Changes, string, string[]?])[] = [
      ['a receipt signed by the forger', { signer: forger }, 'agent-key'],
      ['evidence of another enclave', { audit: { evidence: other.evidence } }, 'agent-key'],
      ['an enclave with another manifest', { audit: { evidence: other.evidence } }, 'evidence'],
      ['another nonce', { audit: { nonce: new Uint8Array(32) } }, 'evidence'],
      ['evidence that is none', { audit: { evidence: new Uint8Array(100) } }, 'evidence'],
      ['another algorithm', { receipt: { algorithmDigest: DIGEST.replace('0', '1') } }, 'manifest'],
      ['another dataset', { receipt: { datasets: [] } }, 'manifest'],
      ['another platform', { receipt: { platform: 'snp' } }, 'platform'],
      ['other claims', { receipt: { evidenceDigest: DIGEST } }, 'agent-key'],
      ['another body', { receipt: { sealedDigest: DIGEST } }, 'body'],
      ['another content', { receipt: { resultDigest: DIGEST } }, 'content', ['--key', at('key')]],
      ['the certificates of yesterday', { audit: { appraisedAt: NOW + 3 * DAY } }, 'evidence'],
    ];
    for (const [what, changes, check, options = []] of cases) {
      const found = await verify(await resultFile(of, changes), ...trust(), ...options);
      expect(found, what).toMatchObject({ exit: 2, outcome: 'rejected' });
      expect(found.failed, what).toContain(check);
    }
  });

  it('rejects a result that was judged by another policy, reference or manifest than yours', async () => {
    const file = await resultFile(await enclave(generateSigningKeyPair()));
    expect(await verify(file, ...trust({ policy: 'policy2' }))).toMatchObject({
      exit: 2,
      failed: ['policy'],
    });
    const other = await verify(file, ...trust({ reference: 'reference2' }));
    expect(other.failed).toEqual(expect.arrayContaining(['reference', 'evidence']));
    expect((await verify(file, ...trust({ manifest: 'manifest2' }))).failed).toContain('manifest');
  });

  it('rejects a file with any single byte flipped, cut off or appended', async () => {
    const file = await resultFile(await enclave(generateSigningKeyPair()));
    const head = new DataView(file.buffer, file.byteOffset).getUint32(8) + 12;
    const body = head + Math.ceil(plain.length / SEGMENT) * 20 + plain.length;
    const sample = (from: number, to: number, step: number) =>
      Array.from({ length: Math.ceil((to - from) / step) }, (_, index) => from + index * step);
    const positions = [
      ...sample(0, head, 97),
      ...[head, head + 1, head + 2, head + 3, head + 4, head + 4 + SEGMENT + 16],
      ...sample(head, body, 9_973),
      ...[body, body + 3],
      ...sample(body, file.length, 1_009),
      ...[file.length - 1, file.length - 33],
    ];
    for (const position of positions) {
      const flipped = file.slice();
      flipped[position] = (flipped[position] ?? 0) ^ 1;
      const found = await verify(flipped, ...trust());
      // Either a check of the file fails, or it is not a result file any more.
      expect(found.exit, `byte ${position}`).toBe(2);
      expect(found.failed.length > 0 || found.error !== undefined, `byte ${position}`).toBe(true);
    }
    for (const changed of [file.subarray(0, -1), file.subarray(0, body), concat(file, utf8('x'))]) {
      expect((await verify(changed, ...trust())).failed).toContain('body');
    }
  });
});

describe('result open', () => {
  const open = (...options: string[]) =>
    runCli('result', 'open', at('result'), '--out', at('opened'), ...options);

  it('opens what it has verified', async () => {
    writeFileSync(at('result'), await resultFile(await enclave(generateSigningKeyPair())));
    expect(await open('--key', at('key'), ...trust())).toMatchObject({ exit: 0 });
    expect(readdirSync(at('opened'))).toEqual(['answer']);
    rmSync(at('opened'), { recursive: true });
  });

  it('refuses an unverified and a rejected result, and tells a wrong key from an altered file', async () => {
    const of = await enclave(generateSigningKeyPair());
    const file = await resultFile(of);
    writeFileSync(at('result'), file);
    expect(await open('--key', at('key'))).toMatchObject({ exit: 2, error: 'RESULT_UNVERIFIED' });
    const wrongKey = await open('--key', at('key2'), ...trust());
    expect(wrongKey).toMatchObject({
      exit: 2,
      error: 'CRYPTO_OPEN_FAILED',
      details: { reason: 'wrong-key' },
    });
    writeFileSync(at('result'), await resultFile(of, { signer: generateSigningKeyPair() }));
    const forged = await open('--key', at('key'), ...trust());
    expect(forged).toMatchObject({ exit: 2, error: 'RESULT_INVALID', details: { checks: ['agent-key'] } });
    // One character of the sealed content key.
    const header = new DataView(file.buffer, file.byteOffset).getUint32(8) + 12;
    const text = Buffer.from(file).toString('latin1').slice(0, header);
    const altered = file.slice();
    altered[text.indexOf('"enc":"') + 50] = text.charCodeAt(text.indexOf('"enc":"') + 50) === 65 ? 66 : 65;
    writeFileSync(at('result'), altered);
    const tampered = await open('--key', at('key'), ...trust());
    expect(tampered).toMatchObject({ exit: 2, error: 'RESULT_INVALID', details: { checks: ['body'] } });
    const forced = await open('--key', at('key'), '--force-unverified');
    expect(forced).toMatchObject({ error: 'CRYPTO_OPEN_FAILED', details: { reason: 'altered' } });
    expect(readdirSync(folder)).not.toContain('opened');
  });

  it('names the recipient in a header whose bytes are canonical', () => {
    const terms = { manifestDigest, computationId: 'c1', aead: 'aes-256-gcm' as const, segmentSize: SEGMENT };
    const sealedKey = { kem: 'x25519' as const, enc: new Uint8Array(32), ciphertext: new Uint8Array(48) };
    const rest = { receipt: utf8('{}'), signature: new Uint8Array(64), agentSigningKey: provider, size: 0 };
    const header = { version: 2 as const, ...terms, sealedKey, ...rest };
    expect(() => encodeResultHeader(header)).toThrow(/recipient/);
  });
});
