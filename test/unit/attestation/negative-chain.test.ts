import { beforeAll, describe, expect, it } from 'vitest';
import { verifySnp, verifyTdx } from '../../../src/attestation/appraisal/standalone.ts';
import { type Collateral, NO_COLLATERAL } from '../../../src/attestation/collateral/collateral.ts';
import { parsePolicy } from '../../../src/attestation/policy/policy.ts';
import { attestationCrypto as crypto } from '../../../src/crypto/attestation-crypto.ts';
import {
  AT as AMD_AT,
  type Amd,
  CHIP_ID,
  createAmd,
  createReport,
  type EvidenceOptions,
  vcekExtensions,
  WAIVERS,
} from '../../fakes/fake-amd.ts';
import {
  AT,
  createCollateral,
  createIntel,
  createQuote,
  qeIdentityJson,
  rawSign,
  signJson,
  tcbInfoJson,
} from '../../fakes/fake-intel.ts';
import { authority, issue } from '../../fakes/x509-issuer.ts';

/** Evidence whose signatures are right and whose certificates or collateral contradict themselves. */

const DAY = 86_400_000;
const intel = createIntel();
const other = createIntel();

function verdictOf(quote: Uint8Array, collateral: Collateral, tdx: object = {}) {
  const policy = parsePolicy({
    version: 1,
    platforms: ['tdx'],
    tdx: { trustedRoots: [intel.rootDigest], ...tdx },
  });
  return verifyTdx({ quote, collateral, policy, at: AT, crypto });
}

describe('the certificates of a TDX quote', () => {
  const [pck, platform, root] = [intel.pck, intel.platform, intel.root].map(({ certificate }) => certificate);
  if (pck === undefined || platform === undefined || root === undefined) throw new Error('no hierarchy');
  const failures = (...chain: Uint8Array[]) =>
    verdictOf(createQuote(intel, { chain }), createCollateral(intel)).failures;

  it('are accepted in the order of the quoting library', () => {
    expect(failures(pck, platform, root)).toEqual([]);
  });

  it.each([
    ['out of order', [platform, pck, root]],
    ['with the root first', [root, platform, pck]],
    ['with one repeated', [pck, platform, root, root]],
    ['with the leaf repeated', [pck, pck, platform, root]],
    ['with one too many', [pck, platform, root, other.platform.certificate]],
  ])('are refused %s', (_, chain) => {
    expect(failures(...chain)).toEqual(['tdx.certificate-order']);
  });
});

describe('signed collateral with a duplicate member', () => {
  const sign = (text: string) => {
    const body = new TextEncoder().encode(text);
    return { body, signature: rawSign(body, intel.tcbSigner.key) };
  };
  const extended = (value: object, member: string): string =>
    `${JSON.stringify(value).slice(0, -1)},${member}}`;
  const failures = (tcbInfo: string, identity = JSON.stringify(qeIdentityJson())) =>
    verdictOf(createQuote(intel), {
      ...createCollateral(intel),
      tcbInfos: [sign(tcbInfo)],
      qeIdentities: [sign(identity)],
    }).failures;

  it('is accepted without it', () => {
    expect(failures(JSON.stringify(tcbInfoJson()))).toEqual([]);
  });

  it.each([
    ['as it is', '"fmspc":"00a06d080000"'],
    ['in an escaped name', '"fm\\u0073pc":"00a06d080000"'],
    ['called __proto__', '"__proto__":{"fmspc":"00a06d080000"}'],
    ['deep inside', '"more":{"a":[{"b":1,"b":2}]}'],
  ])('is refused in TCB information: %s', (_, member) => {
    expect(failures(extended(tcbInfoJson(), member))).toContain('tdx.tcb-info');
  });

  it('is refused in the identity of the quoting enclave', () => {
    expect(failures(JSON.stringify(tcbInfoJson()), extended(qeIdentityJson(), '"isvprodid":2'))).toContain(
      'tdx.qe-identity',
    );
  });
});

describe('collateral of several evaluations', () => {
  const info = (evaluation: number, status: string, issuedDaysAgo = 5) => {
    const value = tcbInfoJson();
    const [first] = value.tcbLevels;
    if (first !== undefined) first.tcbStatus = status;
    const issueDate = new Date(AT - issuedDaysAgo * DAY).toISOString().replace(/\.\d{3}Z$/, 'Z');
    return signJson({ ...value, issueDate, tcbEvaluationDataNumber: evaluation }, intel.tcbSigner.key);
  };
  const verdict = (...tcbInfos: ReturnType<typeof info>[]) =>
    verdictOf(createQuote(intel), { ...createCollateral(intel), tcbInfos });

  it('is judged by the highest current evaluation, whatever the order and the date', () => {
    const [older, newer] = [info(17, 'UpToDate', 1), info(19, 'OutOfDate', 9)];
    for (const verdicts of [verdict(older, newer), verdict(newer, older)]) {
      expect(verdicts.failures).toEqual(['tdx.tcb-status']);
      const chosen = verdicts.checks.find(({ name }) => name === 'tdx.tcb-info');
      expect(chosen?.found).toBe('evaluation 19, the highest current one of 2');
    }
  });

  const found = (v: ReturnType<typeof verdictOf>, name: string) =>
    v.checks.find((check) => check.name === name);
  const signed = (value: object) => signJson(value, intel.tcbSigner.key);
  const odd = (changes: object) => signed({ ...tcbInfoJson(), tcbEvaluationDataNumber: 19, ...changes });

  it('is refused when one about this platform cannot be read, since that may be the newest', () => {
    const [level] = tcbInfoJson().tcbLevels;
    const cases: readonly [object, string][] = [
      [{ version: 4 }, 'version'],
      [{ tcbLevels: [{ ...level, tcbStatus: 'SomeNewStatus' }] }, 'tcbLevels.0.tcbStatus'],
      [{ fmspc: 7 }, 'fmspc'],
    ];
    for (const [changes, place] of cases) {
      for (const infos of [
        [info(18, 'UpToDate'), odd(changes)],
        [odd(changes), info(18, 'UpToDate')],
      ]) {
        const refused = verdict(...infos);
        expect(refused.failures).toEqual(['tdx.tcb-info']);
        expect(found(refused, 'tdx.tcb-info')?.found).toBe(
          `cannot be read: evaluation 19: TCB information does not have the documented format (${place})`,
        );
      }
    }
    const cut = { ...info(19, 'OutOfDate'), body: info(19, 'OutOfDate').body.slice(0, -1) };
    expect(verdict(info(18, 'UpToDate'), cut).failures).toEqual(['tdx.tcb-info']);
  });

  it('is accepted beside items of other platforms and of SGX in any format', () => {
    const { id: _, ...withoutId } = tcbInfoJson();
    const others = [
      odd({ version: 4, fmspc: '00906ed50000' }),
      odd({ version: 4, pceId: '0001' }),
      odd({ id: 'SGX', tcbLevels: [] }),
      signed({ ...withoutId, version: 2 }),
    ];
    expect(verdict(info(18, 'UpToDate'), ...others).failures).toEqual([]);
  });

  const identity = (changes: object) => signed({ ...qeIdentityJson(), ...changes });
  const withIdentities = (qeIdentities: ReturnType<typeof identity>[], tdx: object = {}) =>
    verdictOf(createQuote(intel), { ...createCollateral(intel), qeIdentities }, tdx);

  it('is refused when an identity of the quoting enclave cannot be read, but not for those of other enclaves', () => {
    const [level] = qeIdentityJson().tcbLevels;
    const long = { tcbEvaluationDataNumber: 19, tcbLevels: [{ ...level, advisoryIDs: ['x'.repeat(65)] }] };
    const refused = withIdentities([identity({}), identity(long)]);
    expect(refused.failures).toEqual(['tdx.qe-identity']);
    const others = ['QE', 'QVE'].map((id) => identity({ ...long, id }));
    expect(withIdentities([identity({}), ...others]).failures).toEqual([]);
  });

  it('may be mixed unless the policy refuses it, and the verdict says so', () => {
    const mixed = [identity({ tcbEvaluationDataNumber: 17 })];
    const text = 'TCB information 18, QE identity 17: different evaluations';
    const allowed = withIdentities(mixed);
    expect(allowed.failures).toEqual([]);
    expect(found(allowed, 'tdx.evaluation-number')?.note).toContain(text);
    const refused = withIdentities(mixed, { requireSameEvaluation: true });
    expect(refused.failures).toEqual(['tdx.evaluation-number']);
    expect(found(refused, 'tdx.evaluation-number')?.found).toBe(text);
    expect(withIdentities([identity({})], { requireSameEvaluation: true }).failures).toEqual([]);
  });

  it('is not spoilt by a higher one that nobody signed', () => {
    const forged = info(99, 'UpToDate');
    forged.signature.fill(1);
    expect(verdict(info(18, 'UpToDate'), forged).failures).toEqual([]);
    expect(verdict(forged).failures).toContain('tdx.tcb-info-signature');
  });
});

describe('an authority of Intel', () => {
  const failures = (usage: number, pathLength?: number) => {
    const certificate = issue({
      subject: intel.platform.name,
      issuer: intel.root,
      serial: Uint8Array.of(9),
      validity: { notBefore: AT - DAY, notAfter: AT + DAY },
      publicKey: intel.platform.key,
      extensions: authority(pathLength, usage),
    });
    const chain = [intel.pck.certificate, certificate, intel.root.certificate];
    return verdictOf(createQuote(intel, { chain }), createCollateral(intel)).failures;
  };

  it('may issue certificates and lists with both usages', () => {
    expect(failures(0x06)).toEqual([]);
    expect(failures(0x06, 0)).toEqual([]);
  });

  it('is refused without keyCertSign, and its list without cRLSign', () => {
    expect(failures(0x02)).toEqual(['chain.profile']);
    expect(failures(0x04)).toEqual(expect.arrayContaining(['chain.revocation-list']));
  });

  it('is refused with a CA below it that its path length excludes', () => {
    const limited = createIntel({ rootPathLength: 0 });
    const policy = parsePolicy({
      version: 1,
      platforms: ['tdx'],
      tdx: { trustedRoots: [limited.rootDigest] },
    });
    const input = { quote: createQuote(limited), collateral: createCollateral(limited), at: AT, crypto };
    expect(verifyTdx({ ...input, policy }).failures).toContain('chain.profile');
  });
});

describe('an SNP report', () => {
  let amd: Amd;
  beforeAll(async () => {
    amd = await createAmd('Milan');
  });
  const verify = (evidence: EvidenceOptions, snp: object = {}, more: object = {}) => {
    const policy = parsePolicy({
      version: 1,
      platforms: ['snp'],
      snp: { ...WAIVERS, trustedRoots: amd.trustedRoots, ...snp },
    });
    const collateral = { ...NO_COLLATERAL, revocationLists: [] };
    return verifySnp({ ...createReport(amd, evidence), collateral, policy, at: AMD_AT, crypto, ...more });
  };

  it('is refused when the named endorsement key did not sign, though another certificate did', () => {
    const own = createReport(amd, {});
    const foreign = createReport(amd, {});
    const [ownKey, ...authorities] = own.certificates;
    const [foreignKey] = foreign.certificates;
    const failures = (endorsementKey: Uint8Array | undefined, certificates: readonly Uint8Array[]) =>
      verify({}, {}, { report: own.report, endorsementKey, certificates }).failures;
    expect(failures(ownKey, authorities)).toEqual([]);
    expect(failures(foreignKey, own.certificates)).toEqual(['report.signature']);
  });

  it('signed by the key of a chip is refused when it says that this key is not used', () => {
    const masked = (r: Buffer) => r.writeUInt32LE(2, 0x48);
    expect(verify({ beforeSigning: masked }).failures).toEqual(['report.chip-id']);
    expect(verify({ beforeSigning: masked }, { allowMaskedChipId: true }).failures).toEqual([
      'report.chip-id',
    ]);
  });

  it('with a masked chip id is accepted under the policy member for it alone, and the verdict says so', () => {
    const zero = (r: Buffer) => r.fill(0, 0x1a0, 0x1e0);
    expect(verify({ beforeSigning: zero }).failures).toEqual(['report.chip-id']);
    const verdict = verify({ beforeSigning: zero }, { allowMaskedChipId: true });
    expect(verdict.failures).toEqual([]);
    expect(verdict.checks.find(({ name }) => name === 'report.chip-id')).toMatchObject({
      outcome: 'not-checked',
      note: expect.stringContaining('masks the chip id'),
    });
  });

  it('with a chip id of zeros is refused under a certificate of zeros', () => {
    const zero = (r: Buffer) => r.fill(0, 0x1a0, 0x1e0);
    const hwID = { oid: '1.3.6.1.4.1.3704.1.4', value: new Uint8Array(CHIP_ID.length) };
    const evidence = { beforeSigning: zero, extensions: { ...vcekExtensions('Milan'), hwID } };
    for (const snp of [{}, { allowMaskedChipId: true }])
      expect(verify(evidence, snp).failures).toEqual(['report.chip-id']);
  });

  it('is compared with the mitigations that the policy requires', () => {
    const mitigated = {
      beforeSigning: (r: Buffer) => {
        r.writeUInt32LE(5, 0);
        r.writeBigUInt64LE(0b0111n, 0x1f8);
        r.writeBigUInt64LE(0b0101n, 0x200);
      },
    };
    const required = (launch: string, current: string) => ({ requiredMitigations: { launch, current } });
    expect(verify(mitigated, required('0x3', '0x5')).failures).toEqual([]);
    expect(verify(mitigated, required('0x8', '0x1')).failures).toEqual(['policy.mitigations']);
    expect(verify(mitigated, required('0x1', '0x2')).failures).toEqual(['policy.mitigations']);
    expect(verify({}, required('0x1', '0x1')).failures).toEqual(['policy.mitigations']);
  });
});
