import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import type { AppraisalInput } from '../../../src/attestation/appraisal/appraisal.ts';
import { appraise } from '../../../src/attestation/appraisal/appraise.ts';
import { bundleScope } from '../../../src/attestation/appraisal/checks.ts';
import {
  formatVerdict,
  VTPM_OWNERS,
  verdictToJson,
} from '../../../src/attestation/appraisal/format-verdict.ts';
import type { Verdict } from '../../../src/attestation/appraisal/verdict.ts';
import { type Claims, encodeClaims, reportData } from '../../../src/attestation/evidence/claims.ts';
import { type EvidenceBundle, encodeEvidence } from '../../../src/attestation/evidence/evidence.ts';
import { parsePolicy } from '../../../src/attestation/policy/policy.ts';
import { parseReferenceValues } from '../../../src/attestation/policy/reference.ts';
import { bitString, oid, sequence } from '../../../src/attestation/x509/der-writer.ts';
import { attestationCrypto as crypto } from '../../../src/crypto/attestation-crypto.ts';
import {
  NONCE,
  NOW,
  claims as plainClaims,
  referenceJson,
  type SceneOptions,
  scene,
  testRoot,
} from '../../fakes/emulated-host.ts';
import { createBoot, sha256 } from '../../fakes/enclave-boot.ts';
import { AT, createCollateral, createIntel, createQuote } from '../../fakes/fake-intel.ts';
import { eventLog, extendAll, type LogEvent } from '../../fakes/fake-tpm.ts';
import { AUTHORITY, authority, type Extension, issue } from '../../fakes/x509-issuer.ts';

beforeAll(async () => {
  await testRoot();
});

const outcome = (verdict: Verdict, name: string) => verdict.checks.find((check) => check.name === name);

const boot = createBoot(1);
const other = createBoot(2);

async function input(
  change: (bundle: EvidenceBundle) => Partial<EvidenceBundle> = () => ({}),
  options: SceneOptions & { readonly claims?: Claims } = {},
): Promise<AppraisalInput> {
  const base = await scene({ ...options, claims: options.claims ?? boot.claims });
  const { bundle } = base;
  const full: EvidenceBundle = {
    ...bundle,
    nonce: NONCE,
    vtpm: boot.quote(NONCE, bundle.claims),
    dice: boot.dice,
  };
  return { ...base, evidence: encodeEvidence({ ...full, ...change(full) }) };
}
const failures = async (...args: Parameters<typeof input>) => appraise(await input(...args)).failures;

describe('appraise with a vTPM quote and a DICE chain', () => {
  it('accepts all parts of one boot, and lists the checks of each part', async () => {
    const verdict = appraise(await input());
    expect(verdict.failures).toEqual([]);
    expect(verdict.checks.map(({ name }) => name)).toEqual(
      bundleScope({ report: 'snp', tpm: true, dice: true }),
    );
    expect(outcome(verdict, 'binding.parts')).toMatchObject({
      outcome: 'passed',
      expected: `all parts from boot ${'01'.repeat(16)}`,
    });
    expect(outcome(verdict, 'binding.nonce')?.outcome).toBe('passed');
  });

  it('says that a vTPM whose key only the claims name is of the host, and proves nothing against its owner', async () => {
    const verdict = appraise(await input());
    expect(verdict.vtpmOwner).toBe('host');
    expect(verdictToJson(verdict)['vtpm']).toMatchObject({ owner: 'host', meaning: VTPM_OWNERS.host });
    expect(formatVerdict(verdict)).toContain(`vtpm:    ${VTPM_OWNERS.host}`);
    expect(VTPM_OWNERS.host).toContain('proves nothing against the owner of the host');
    const without = appraise(await input(() => ({ vtpm: undefined })));
    expect(without.vtpmOwner).toBeUndefined();
    expect(verdictToJson(without)['vtpm']).toBeNull();
  });

  it('refuses the quote of another boot', async () => {
    const failed = await failures((bundle) => ({ vtpm: other.quote(NONCE, bundle.claims) }));
    expect(failed).toContain('vtpm.signature');
  });

  it('refuses a quote over the claims of another boot, made with the right key', async () => {
    const others = encodeClaims(other.claims);
    expect(await failures(() => ({ vtpm: boot.quote(NONCE, others) }))).toEqual(['vtpm.qualifying-data']);
  });

  it('refuses a quote that answered another challenge', async () => {
    const nonce = new Uint8Array(32).fill(9);
    expect(await failures((bundle) => ({ vtpm: boot.quote(nonce, bundle.claims) }))).toEqual([
      'vtpm.qualifying-data',
    ]);
  });

  it('63: refuses a quote whose key is not in the claims', async () => {
    const { tpmAk: _, ...claims } = boot.claims;
    const failed = await failures(undefined, { claims });
    expect(failed).toEqual(['vtpm.key-binding']);
  });

  it('refuses the chain of another boot', async () => {
    expect(await failures(() => ({ dice: other.dice }))).toEqual(['dice.root', 'dice.leaf']);
  });

  it('78: refuses a chain whose root key is not in the report', async () => {
    const claims = { ...boot.claims, diceRoot: new Uint8Array(32) };
    expect(await failures(undefined, { claims })).toEqual(['dice.root']);
  });

  it('refuses a leaf that is not in the claims', async () => {
    const claims = { ...boot.claims, diceLeaf: new Uint8Array(32) };
    expect(await failures(undefined, { claims })).toEqual(['dice.leaf']);
    const { diceLeaf: _, ...without } = boot.claims;
    expect(await failures(undefined, { claims: without })).toEqual(['dice.leaf']);
  });

  it('refuses the claims of another boot under this report', async () => {
    const failed = await failures(() => ({ claims: encodeClaims(other.claims) }));
    expect(failed).toContain('binding.report-data');
  });

  it('reports a missing required part', async () => {
    const policy = { vtpm: { required: true }, dice: { required: true } };
    const without = (bundle: EvidenceBundle) => ({ ...bundle, vtpm: undefined, dice: undefined });
    expect(await failures(without, { policy })).toEqual(['vtpm.quote', 'dice.chain']);
    expect(await failures(without)).toEqual([]);
  });

  it('compares PCRs, events and layers with the reference values', async () => {
    const pcr4 = Buffer.from(extendAll(boot.events).get(4) ?? []).toString('hex');
    const reference = (pcr: string, code: string) => ({
      reference: {
        vtpm: { pcrs: { 4: pcr } },
        dice: { layers: [{ codeHashes: [code] }, {}] },
      },
    });
    const code = 'c0'.repeat(64);
    expect(await failures(undefined, reference(pcr4, code))).toEqual([]);
    expect(await failures(undefined, reference('00'.repeat(32), code))).toEqual(['vtpm.pcrs']);
    expect(await failures(undefined, reference(pcr4, '00'.repeat(64)))).toEqual(['dice.code']);
  });

  it('accepts a certificate of the key only under a root that the policy names', async () => {
    const { privateKey: authority } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const span = { notBefore: NOW - 1000, notAfter: NOW + 1000 };
    const issuer = { name: 'TPM maker', key: authority };
    const root = issue({
      subject: 'TPM maker',
      issuer,
      serial: Uint8Array.of(1),
      validity: span,
      publicKey: authority,
      extensions: AUTHORITY,
    });
    const certificate = (key = boot.ak, notAfter = span.notAfter, extensions = AIK) =>
      issue({
        subject: 'AK',
        issuer,
        serial: Uint8Array.of(2),
        validity: { ...span, notAfter },
        publicKey: createPublicKey(key),
        extensions,
      });
    const trusted = {
      policy: { vtpm: { trustedRoots: [`sha256:${Buffer.from(sha256(root)).toString('hex')}`] } },
    };
    const withChain =
      (...ders: Uint8Array[]) =>
      (bundle: EvidenceBundle) => ({
        vtpm: { ...boot.quote(NONCE, bundle.claims), certificates: ders },
      });
    expect(await failures(withChain(certificate(), root), trusted)).toEqual([]);
    expect(appraise(await input(withChain(certificate(), root), trusted)).vtpmOwner).toBe('provider');
    expect(await failures(undefined, trusted)).toEqual(['vtpm.key-binding']);
    expect(await failures(withChain(), trusted)).toEqual(['vtpm.key-binding']);
    // Without roots in the policy a certificate restricts nothing, and adds nothing.
    expect(await failures(withChain(certificate(), root))).toEqual([]);
    expect(appraise(await input(withChain(certificate(), root))).vtpmOwner).toBe('host');
    expect(await failures(withChain(certificate(), certificate()), trusted)).toEqual(['vtpm.key-binding']);
    expect(await failures(withChain(certificate(other.ak), root), trusted)).toEqual(['vtpm.key-binding']);
    expect(await failures(withChain(certificate(boot.ak, NOW - 500), root), trusted)).toEqual([
      'vtpm.key-binding',
    ]);
    expect(await failures(withChain(Uint8Array.of(1)), trusted)).toEqual(['vtpm.key-binding']);
    const refused = [
      [],
      [purposes('1.3.6.1.5.5.7.3.1')],
      [...AIK, usage(0x04)],
      [...AIK, { oid: '1.2.3.4', critical: true, value: Uint8Array.of(5, 0) }],
      [...AIK, ...AUTHORITY],
    ];
    for (const extensions of refused) {
      const leaf = certificate(boot.ak, span.notAfter, extensions);
      expect(await failures(withChain(leaf, root), trusted)).toEqual(['vtpm.key-binding']);
    }
    const usable = certificate(boot.ak, span.notAfter, [...AIK, usage(0x80)]);
    expect(await failures(withChain(usable, root), trusted)).toEqual([]);
  });

  it('takes nothing from a quote for its certificates when the policy names no roots, and says so', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const certificate = issue({
      ...{ subject: 'AK', issuer: { name: 'nobody', key: privateKey }, serial: Uint8Array.of(2) },
      ...{ validity: { notBefore: NOW - 1000, notAfter: NOW + 1000 }, extensions: AIK },
      publicKey: createPublicKey(boot.ak),
    });
    for (const ders of [[certificate], [Uint8Array.of(1)]]) {
      const verdict = appraise(
        await input((bundle) => ({
          vtpm: { ...boot.quote(NONCE, bundle.claims), certificates: ders },
        })),
      );
      expect(verdict).toMatchObject({ outcome: 'accepted', failures: [], vtpmOwner: 'host' });
      expect(outcome(verdict, 'vtpm.key-binding')?.found).toBe(
        'the key verifies the quote; its certificates (1) are not checked, since the policy names no root (vtpm.trustedRoots)',
      );
    }
  });

  it('holds the authorities of a certificate of the key to their path length and usage', async () => {
    const span = { notBefore: NOW - 1000, notAfter: NOW + 1000 };
    const [rootKey, middleKey] = [0, 1].map(
      () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
    );
    if (rootKey === undefined || middleKey === undefined) throw new Error('no keys');
    const chain = (rootExtensions: readonly Extension[], middleExtensions: readonly Extension[]) => {
      const base = { serial: Uint8Array.of(3), validity: span };
      const [top, middle] = [
        { name: 'Root', key: rootKey },
        { name: 'Middle', key: middleKey },
      ] as const;
      return [
        issue({
          ...base,
          subject: 'AK',
          issuer: middle,
          publicKey: createPublicKey(boot.ak),
          extensions: AIK,
        }),
        issue({
          ...base,
          subject: 'Middle',
          issuer: top,
          publicKey: middleKey,
          extensions: middleExtensions,
        }),
        issue({ ...base, subject: 'Root', issuer: top, publicKey: rootKey, extensions: rootExtensions }),
      ] as const;
    };
    const outcome = async (...extensions: Parameters<typeof chain>) => {
      const ders = chain(...extensions);
      const trustedRoots = [`sha256:${Buffer.from(sha256(ders[2])).toString('hex')}`];
      return failures(
        (bundle: EvidenceBundle) => ({
          vtpm: { ...boot.quote(NONCE, bundle.claims), certificates: [...ders] },
        }),
        { policy: { vtpm: { trustedRoots } } },
      );
    };
    expect(await outcome(authority(1), authority(0))).toEqual([]);
    expect(await outcome(authority(0), authority(0))).toEqual(['vtpm.key-binding']);
    expect(await outcome(authority(), authority(undefined, 0x02))).toEqual(['vtpm.key-binding']);
    expect(await outcome(authority(), AIK)).toEqual(['vtpm.key-binding']);
  });
});

const purposes = (id: string): Extension => ({ oid: '2.5.29.37', value: sequence(oid(id)) });
const usage = (bits: number): Extension => ({ oid: '2.5.29.15', value: bitString(Uint8Array.of(bits)) });
/** tcg-kp-AIKCertificate. */
const AIK: readonly Extension[] = [purposes('2.23.133.8.3')];

describe('appraise without a nonce', () => {
  it('uses the nonce in the bundle, and reports that the age of the evidence is unknown', async () => {
    const verdict = appraise({ ...(await input()), nonce: undefined });
    expect(verdict.failures).toEqual([]);
    expect(outcome(verdict, 'binding.nonce')).toMatchObject({
      outcome: 'not-checked',
      note: expect.stringContaining('NOT FRESH'),
    });
    expect(outcome(verdict, 'binding.report-data')?.outcome).toBe('passed');
  });

  it('refuses a bundle whose nonce is not the one that its report binds', async () => {
    const nonce = new Uint8Array(32).fill(9);
    const failed = appraise({ ...(await input(() => ({ nonce }))), nonce: undefined }).failures;
    expect(failed).toEqual(['binding.report-data', 'vtpm.qualifying-data']);
    expect(await failures(() => ({ nonce }))).toEqual(['binding.nonce']);
  });

  it('finds a bundle without any nonce incomplete', async () => {
    const verdict = appraise({ ...(await input(() => ({ nonce: undefined }))), nonce: undefined });
    expect(verdict.failures).toEqual(verdict.missing);
    expect(verdict.missing).toEqual(['binding.report-data', 'vtpm.qualifying-data']);
  });
});

describe('the policy that a manifest pins', () => {
  const digest = (fill: string) => `sha256:${fill.repeat(64)}`;
  it('must be the policy of the appraisal', async () => {
    const base = await input();
    const verdict = (found: string) => appraise({ ...base, policyDigest: { expected: digest('1'), found } });
    expect(verdict(digest('1')).failures).toEqual([]);
    expect(verdict(digest('2')).failures).toEqual(['binding.policy']);
  });
});

describe('appraise of a TDX guest', () => {
  const intel = createIntel();
  const claims: Claims = { ...plainClaims, kemKeys: [...plainClaims.kemKeys], platform: 'tdx' };
  const events: LogEvent[] = [
    { register: 1, type: 4, data: new Uint8Array(4) },
    { register: 3, type: 4, data: new Uint8Array(4) },
  ];
  const log = eventLog(events, { banks: ['sha384'] });
  const extended = Buffer.from(extendAll(events, 'sha384').get(3) ?? []).toString('hex');
  const registers = { mrtd: '91'.repeat(48), rtmr1: '00'.repeat(48), rtmr2: extended };

  function tdx(
    change: { body?: (quote: Buffer, body: number) => void; claims?: Claims; log?: Uint8Array } = {},
    reference: object = {},
  ) {
    const bytes = encodeClaims(change.claims ?? claims);
    const quote = createQuote(intel, {
      version: 5,
      beforeSigning: (buffer, body) => {
        buffer.set(reportData(NONCE, bytes, crypto), body + 520);
        for (const [register, value] of extendAll(events, 'sha384')) {
          buffer.set(value, body + 328 + 48 * (register - 1));
        }
        buffer.fill(0, body + 328 + 48, body + 328 + 96);
        buffer.fill(0, body + 328 + 144, body + 328 + 192);
        change.body?.(buffer, body);
      },
    });
    const bundle: EvidenceBundle = {
      version: 1,
      claims: bytes,
      nonce: NONCE,
      report: { kind: 'tdx', quote, eventLog: change.log ?? log },
    };
    return appraise({
      evidence: encodeEvidence(bundle),
      nonce: NONCE,
      policy: parsePolicy({ version: 1, platforms: ['tdx'], tdx: { trustedRoots: [intel.rootDigest] } }),
      reference: parseReferenceValues(
        'builds' in reference
          ? { version: 1, ...reference }
          : { ...referenceJson, tdx: { ...registers, ...reference } },
      ),
      at: AT,
      collateral: createCollateral(intel),
      crypto,
    });
  }

  it('accepts a quote, an event log and claims that belong together', () => {
    const verdict = tdx();
    expect(verdict.failures).toEqual([]);
    expect(verdict).toMatchObject({ outcome: 'accepted', platform: 'tdx', emulated: false });
    expect(verdict.checks.map(({ name }) => name)).toEqual(
      bundleScope({ report: 'tdx', tpm: false, dice: false }),
    );
  });

  it('refuses other claims, another build, and another platform in the claims', () => {
    expect(tdx({ body: (b, body) => b.fill(1, body + 520, body + 584) }).failures).toEqual([
      'binding.report-data',
    ]);
    expect(tdx({}, { mrtd: '92'.repeat(48) }).failures).toEqual(['tdx.mrtd']);
    expect(tdx({}, { rtmr1: '92'.repeat(48) }).failures).toEqual(['tdx.rtmr1']);
    expect(tdx({ claims: { ...claims, platform: 'snp' } }).failures).toEqual(['binding.platform']);
  });

  it('refuses the firmware of one build with the kernel of another, and names the build that matches', () => {
    const build = (name: string, values: object) => ({
      name,
      eosVersion: 'eos-1',
      tdx: { ...registers, ...values },
    });
    const others = { mrtd: '92'.repeat(48), rtmr1: '93'.repeat(48), rtmr2: '94'.repeat(48) };
    const mixed = ['mrtd', 'rtmr1', 'rtmr2'].map((part) =>
      tdx(
        {},
        {
          builds: [
            build('A', { [part]: '95'.repeat(48) }),
            build('B', { ...others, [part]: '95'.repeat(48) }),
          ],
        },
      ),
    );
    expect(mixed.map(({ failures }) => failures)).toEqual([['tdx.mrtd'], ['tdx.rtmr1'], ['tdx.rtmr2']]);
    const split = [
      build('A', { rtmr1: others.rtmr1, rtmr2: others.rtmr2 }),
      build('B', { mrtd: others.mrtd }),
    ];
    expect(tdx({}, { builds: split })).toMatchObject({ outcome: 'rejected', build: { name: 'B', of: 2 } });
    const complete = [...split, build('C', {})];
    expect(tdx({}, { builds: complete })).toMatchObject({ outcome: 'accepted', build: { name: 'C', of: 3 } });
  });

  it('refuses an event log that does not replay to the registers', () => {
    const others = eventLog(events.slice(1), { banks: ['sha384'] });
    expect(tdx({ log: others }).failures).toEqual(['tdx.event-log']);
  });

  it('binds the manifest by MRCONFIGID when it is set', () => {
    const manifest = (buffer: Buffer, body: number) => buffer.set(plainClaims.manifestDigest, body + 184);
    expect(tdx({ body: manifest }).failures).toEqual([]);
    const trailing = (buffer: Buffer, body: number) => {
      manifest(buffer, body);
      buffer.writeUInt8(1, body + 184 + 47);
    };
    expect(tdx({ body: trailing }).failures).toEqual(['binding.host-data']);
    expect(tdx({ body: (buffer, body) => buffer.fill(1, body + 184, body + 216) }).failures).toEqual([
      'binding.host-data',
    ]);
  });

  it('is incomplete without reference values for a trust domain', () => {
    const verdict = appraise({
      evidence: encodeEvidence({
        version: 1,
        claims: encodeClaims(claims),
        nonce: NONCE,
        report: { kind: 'tdx', quote: createQuote(intel) },
      }),
      nonce: NONCE,
      policy: parsePolicy({ version: 1, platforms: ['tdx'], tdx: { trustedRoots: [intel.rootDigest] } }),
      reference: parseReferenceValues(referenceJson),
      at: AT,
      collateral: createCollateral(intel),
      crypto,
    });
    expect(verdict.missing).toContain('tdx.mrtd');
  });
});
