import { createHash, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { appraise } from '../../../src/attestation/appraisal/appraise.ts';
import { verifyParavisorTpm } from '../../../src/attestation/appraisal/paravisor.ts';
import { verifyTpm } from '../../../src/attestation/appraisal/standalone.ts';
import { NO_COLLATERAL } from '../../../src/attestation/collateral/collateral.ts';
import { developmentRootDigest } from '../../../src/attestation/emulated/root.ts';
import { qualifyingData } from '../../../src/attestation/evidence/claims.ts';
import { encodeEvidence } from '../../../src/attestation/evidence/evidence.ts';
import { parsePolicy } from '../../../src/attestation/policy/policy.ts';
import { parseReferenceValues } from '../../../src/attestation/policy/reference.ts';
import { attestationCrypto as crypto } from '../../../src/crypto/attestation-crypto.ts';
import {
  blankReport,
  endorse,
  NONCE,
  NOW,
  referenceJson,
  scene,
  signReport,
  testRoot,
} from '../../fakes/emulated-host.ts';
import { createBoot } from '../../fakes/enclave-boot.ts';
import { newKey, rawKey } from '../../fakes/fake-dice.ts';
import {
  attest,
  ecdsaSignature,
  eventLog,
  extendAll,
  hash,
  type LogEvent,
  rsaSignature,
} from '../../fakes/fake-tpm.ts';

/** Evidence says who made it. None of that may widen what a policy or a reference names. */

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('evidence', () => {
  const boot = createBoot(1);

  it('cannot add its own root key to those that a policy names', async () => {
    const base = await scene({ claims: boot.claims });
    const evidence = encodeEvidence({ ...base.bundle, nonce: NONCE, dice: boot.dice });
    const judge = (dice: object) =>
      appraise({ ...base, evidence, nonce: NONCE, policy: { ...base.policy, ...parsedDice(dice) } });
    const parsedDice = (dice: object) => ({
      dice: parsePolicy({ version: 1, platforms: ['snp'], dice }).dice,
    });
    expect(judge({ required: true }).outcome).toBe('accepted');
    expect(judge({ required: true, rootKeys: [hex(boot.dice.rootKey)] }).outcome).toBe('accepted');
    const other = judge({ required: true, rootKeys: [hex(rawKey(newKey()))] });
    expect(other.failures).toContain('dice.root');
  });

  it('has as many layers as the policy lists, whatever these say', async () => {
    const base = await scene({ claims: boot.claims });
    const evidence = encodeEvidence({ ...base.bundle, nonce: NONCE, dice: boot.dice });
    const { dice } = parsePolicy({
      ...{ version: 1, platforms: ['snp'] },
      dice: { layers: Array.from({ length: boot.dice.chain.length + 1 }, () => ({})) },
    });
    const verdict = appraise({ ...base, evidence, nonce: NONCE, policy: { ...base.policy, dice } });
    expect(verdict.failures).toEqual(['dice.code']);
  });

  it('with the reference log of PCRs that it does not quote is refused', async () => {
    const base = await scene({ claims: boot.claims });
    const kernel = (name: string): LogEvent => ({
      register: 4,
      type: 0x8000_0003,
      data: Buffer.from(name),
      digests: [['sha256', hash('sha256', Buffer.from(name))]],
    });
    const separator: LogEvent = { register: 15, type: 4, data: new Uint8Array(4) };
    const good = [kernel('good kernel'), separator];
    const evil = [kernel('evil kernel'), separator];
    const reference = parseReferenceValues({
      ...referenceJson,
      vtpm: {
        bank: 'sha256',
        pcrs: { 15: hex(extendAll(good).get(15) ?? new Uint8Array()) },
        events: [
          { register: 4, digest: hex(hash('sha256', Buffer.from('good kernel'))) },
          { register: 15, digest: hex(hash('sha256', separator.data)) },
        ],
      },
    });
    const judge = (really: readonly LogEvent[], quoted: readonly number[], shown: readonly LogEvent[]) => {
      const pcrs = new Map([...extendAll(really)].filter(([pcr]) => quoted.includes(pcr)));
      const statement = attest(new Map([['sha256', pcrs]]), {
        extraData: qualifyingData(NONCE, base.bundle.claims, crypto),
      });
      const vtpm = {
        ...{ attest: statement, signature: ecdsaSignature(statement, boot.ak), bank: 'sha256' as const },
        pcrs: Object.fromEntries([...pcrs].map(([pcr, value]) => [String(pcr), value])),
        eventLog: eventLog(shown),
      };
      return appraise({
        ...{ ...base, reference, nonce: NONCE },
        evidence: encodeEvidence({ ...base.bundle, nonce: NONCE, vtpm }),
      });
    };
    expect(judge(good, [4, 15], good).outcome).toBe('accepted');
    expect(judge(evil, [15], good).failures).toEqual(['vtpm.reference-log']);
    // Without a reference log the verdict says what is not proven.
    const log = judge(good, [15], good).checks.find(({ name }) => name === 'vtpm.event-log');
    expect(log?.note).toBe('nothing proves the events of PCR 4, which are not quoted');
  });
});

describe('a quote by itself', () => {
  const nonce = Buffer.alloc(32, 7);
  const key = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pcrs = new Map([['sha256' as const, new Map([[0, hash('sha256', Buffer.from('x'))]])]]);
  const statement = attest(pcrs, { extraData: nonce });
  const quote = {
    ...{ attest: statement, pcrs, qualifyingData: nonce, at: NOW, crypto },
    signature: rsaSignature(0x14, 'sha256', sign('sha256', statement, key.privateKey)),
  };

  it('needs a certificate of its key where the policy names roots', () => {
    const spki = new Uint8Array(key.publicKey.export({ format: 'der', type: 'spki' }));
    const judge = (vtpm: object) =>
      verifyTpm({ ...quote, key: spki, policy: parsePolicy({ version: 1, platforms: ['snp'], vtpm }) });
    expect(judge({}).outcome).toBe('accepted');
    expect(judge({ trustedRoots: [`sha256:${'0'.repeat(64)}`] }).failures).toEqual(['vtpm.key-binding']);
  });

  it('with the report of an emulated machine is EMULATED, and nobody but the host owns its vTPM', async () => {
    const root = await testRoot();
    const { certificate, key: signer } = endorse(root);
    const { e, n } = createPublicKey(key.privateKey).export({ format: 'jwk' });
    const claims = Buffer.from(JSON.stringify({ keys: [{ kid: 'HCLAkPub', kty: 'RSA', e, n }] }));
    const reportData = Buffer.alloc(64);
    reportData.set(createHash('sha256').update(claims).digest());
    const report = signReport(blankReport(reportData, Buffer.alloc(48, 0x66)), signer);
    const policy = parsePolicy({
      ...{ version: 1, platforms: ['snp', 'emulated'], emulatedRoot: developmentRootDigest(root) },
    });
    const verdict = verifyParavisorTpm({
      ...{ ...quote, policy, collateral: NO_COLLATERAL },
      hclReport: hclOf(report, claims),
      certificates: [certificate, root.ask.certificate, root.ark.certificate],
    });
    expect(verdict.outcome).toBe('accepted');
    expect([verdict.platform, verdict.emulated, verdict.vtpmOwner]).toEqual(['emulated', true, 'host']);
  });
});

/** An HCL report: its header, the report, and the claims with their own. */
function hclOf(report: Uint8Array, claims: Uint8Array): Uint8Array {
  const head = Buffer.alloc(32);
  head.write('HCLA');
  head.writeUInt32LE(2, 4);
  const table = Buffer.alloc(20);
  for (const [index, value] of [20 + claims.length, 1, 2, 1, claims.length].entries())
    table.writeUInt32LE(value, index * 4);
  return Buffer.concat([head, report, table, claims]);
}
