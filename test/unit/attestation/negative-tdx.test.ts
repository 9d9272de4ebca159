import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { verifyTdx } from '../../../src/attestation/appraisal/standalone.ts';
import type { Collateral } from '../../../src/attestation/collateral/collateral.ts';
import { parsePolicy } from '../../../src/attestation/policy/policy.ts';
import { splitSignedJson } from '../../../src/attestation/tdx/signed-json.ts';
import { attestationCrypto as crypto } from '../../../src/crypto/attestation-crypto.ts';
import {
  AT,
  type CollateralOptions,
  createCollateral,
  createIntel,
  createQuote,
  PCK_SERIAL,
  PLATFORM_SERIAL,
  point,
  type QuoteOptions,
  REPORT_DATA,
  SIGNER_SERIAL,
  TEE_TCB_SVN,
} from '../../fakes/fake-intel.ts';
import { openTdx } from '../../fakes/tdx-vectors.ts';
import { hasVectors } from '../../vectors.ts';

const DAY = 86_400_000;
const intel = createIntel();
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function verify(
  quote: Uint8Array,
  collateral: Collateral,
  options: {
    readonly tdx?: object;
    readonly root?: string;
    readonly at?: number;
    readonly policy?: object;
  } = {},
) {
  const trustedRoots = [options.root ?? intel.rootDigest];
  const policy = parsePolicy({
    version: 1,
    platforms: ['tdx'],
    tdx: { trustedRoots, ...options.tdx },
    ...options.policy,
  });
  return verifyTdx({ quote, collateral, policy, at: options.at ?? AT, crypto });
}

const failures = (
  quote: QuoteOptions,
  collateral: CollateralOptions = {},
  options: Parameters<typeof verify>[2] = {},
) => verify(createQuote(intel, quote), createCollateral(intel, collateral), options).failures;

const RTMR0 = 328;
const flip = (bytes: Uint8Array, at: number): Uint8Array => {
  const changed = Uint8Array.from(bytes);
  changed[at] = (changed[at] ?? 0) ^ 1;
  return changed;
};

describe('the fake hierarchy', () => {
  it('is accepted unchanged, in both versions', () => {
    expect(failures({})).toEqual([]);
    expect(failures({ version: 5 })).toEqual([]);
  });
});

describe.skipIf(!hasVectors)('verifyTdx, on the changed genuine quotes of negative.md,', () => {
  const { quote, collateral, at } = hasVectors ? openTdx('v4-full-collateral') : openTdxNothing();
  const failed = (changed: Uint8Array, tdx: object = {}) =>
    verifyTdx({
      quote: changed,
      collateral,
      at,
      policy: parsePolicy({ version: 1, platforms: ['tdx'], tdx }),
      crypto,
    }).failures;

  it('35: refuses a changed bit of MRTD, RTMR0 or REPORTDATA', () => {
    for (const offset of [136, RTMR0, 520]) {
      expect(failed(flip(quote, 48 + offset))).toContain('report.signature');
    }
  });

  it('36: refuses a changed bit of the header', () => {
    expect(failed(flip(quote, 30))).toContain('report.signature');
  });

  it('38: refuses another REPORTDATA, even if only its second half differs', () => {
    const value = quote.subarray(48 + 520, 48 + 584);
    expect(failed(quote, { reportData: hex(value) })).toEqual([]);
    expect(failed(quote, { reportData: hex(flip(value, 0)) })).toEqual(['tdx.report-data']);
    expect(failed(quote, { reportData: hex(flip(value, 63)) })).toEqual(['tdx.report-data']);
  });

  it('40: refuses a changed bit of the signature over the QE report', () => {
    // Length, signature, key, type, size, QE report.
    expect(failed(flip(quote, 48 + 584 + 4 + 128 + 6 + 384))).toEqual(['tdx.qe-report-signature']);
  });

  it('46: refuses lengths beyond the buffer or the outer structure', () => {
    const longer = Buffer.from(quote);
    longer.writeUInt32LE(quote.length, 632);
    expect(failed(longer)).toEqual(['tdx.lengths']);
    const inner = Buffer.from(quote);
    const at = 632 + 4 + 128 + 6 + 384 + 64 + 2 + 32 + 2;
    inner.writeUInt32LE(inner.readUInt32LE(at) + 1, at);
    expect(failed(inner)).toEqual(['tdx.lengths']);
  });

  it('47: refuses nonzero bytes after the signature data', () => {
    const padded = Uint8Array.from([...quote, 0, 0]);
    expect(failed(padded)).toEqual([]);
    expect(failed(Uint8Array.from([...padded, 1]))).toEqual(['tdx.trailing-bytes']);
  });

  it('51: refuses re-encoded TCB information', () => {
    const text = new TextDecoder().decode(collateral.tcbInfos[0]?.body);
    const body = new TextEncoder().encode(JSON.stringify(JSON.parse(text), null, 1));
    const signature = collateral.tcbInfos[0]?.signature ?? new Uint8Array();
    const changed = { ...collateral, tcbInfos: [{ body, signature }] };
    const verdict = verifyTdx({
      quote,
      collateral: changed,
      at,
      policy: parsePolicy({ version: 1, platforms: ['tdx'] }),
      crypto,
    });
    expect(verdict.failures).toEqual(['tdx.tcb-info-signature']);
  });

  it('51: keeps the exact bytes of the inner object', () => {
    const text = '{"tcbInfo":{"a": "}\\"{", "b":[1,{ }]} ,"signature":"'.concat('ab'.repeat(64), '"}');
    expect(new TextDecoder().decode(splitSignedJson(text, 'tcbInfo').body)).toBe(
      '{"a": "}\\"{", "b":[1,{ }]}',
    );
  });
});

function openTdxNothing(): ReturnType<typeof openTdx> {
  const nothing = { certificates: [], revocationLists: [], tcbInfos: [], qeIdentities: [] };
  return { quote: new Uint8Array(), collateral: nothing, at: 0, expected: null };
}

describe('verifyTdx, on the re-signed quotes of negative.md,', () => {
  it('37: refuses a TD that the VMM can debug', () => {
    const beforeSigning = (quote: Buffer, body: number) => quote.writeUInt8(1, body + 120);
    expect(failures({ beforeSigning })).toEqual(['policy.debug']);
    expect(failures({ beforeSigning }, {}, { policy: { allowDebug: true } })).toEqual([]);
  });

  it('39: refuses an attestation key that the QE report does not name', () => {
    const { privateKey: attestationKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const { privateKey: other } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    expect(failures({ attestationKey, boundKey: point(other) })).toEqual(['tdx.key-binding']);
    // The second half of the field must be zero.
    expect(failures({ qeReport: (report) => report.writeUInt8(1, 383) })).toEqual(['tdx.key-binding']);
  });

  it('41: refuses a root of the same name with another key', () => {
    const other = createIntel();
    const verdict = verify(createQuote(other), createCollateral(other));
    expect(verdict.failures).toContain('chain.root');
  });

  it('42: refuses the TEE type of SGX', () => {
    expect(failures({ beforeSigning: (quote) => quote.writeUInt32LE(0, 4) })).toEqual(['tdx.tee-type']);
  });

  it('43: refuses the key type P-384', () => {
    expect(failures({ beforeSigning: (quote) => quote.writeUInt16LE(3, 2) })).toEqual(['tdx.key-type']);
  });

  it('44: refuses the QE of another vendor', () => {
    expect(failures({ beforeSigning: (quote) => quote.writeUInt8(0, 12) })).toEqual(['tdx.qe-vendor']);
  });

  it('45: refuses a body whose size is not that of its type', () => {
    expect(failures({ version: 5, bodyType: 2, bodySize: 648 })).toEqual(['tdx.body-descriptor']);
    expect(failures({ version: 5, bodyType: 3, bodySize: 584 })).toEqual(['tdx.body-descriptor']);
    expect(failures({ version: 5, bodyType: 1, bodySize: 584 })).toEqual(['tdx.body-descriptor']);
  });

  it('48: refuses a certificate chain where the QE report must be', () => {
    expect(failures({ outerType: 5 })).toEqual(['tdx.certification-data']);
  });

  it('refuses a QE report that another platform key signed', () => {
    const { privateKey: pckKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    expect(failures({ pckKey })).toEqual(['tdx.qe-report-signature']);
  });

  it('refuses a QE of another signer, product or attributes', () => {
    for (const change of [
      (report: Buffer) => report.writeUInt8(0, 128),
      (report: Buffer) => report.writeUInt16LE(1, 256),
      (report: Buffer) => report.writeUInt8(0x17, 48),
      (report: Buffer) => report.writeUInt8(1, 16),
    ]) {
      expect(failures({ qeReport: change })).toEqual(['tdx.qe-identity-match']);
    }
  });

  it('refuses a QE that is older than every level', () => {
    expect(failures({ qeReport: (report) => report.writeUInt16LE(3, 258) })).toEqual(['tdx.qe-level']);
  });

  it('refuses a migratable TD, an unknown attribute and a TD that can receive #VE', () => {
    const attributes = (value: number) => ({
      beforeSigning: (quote: Buffer, body: number) => quote.writeUInt32LE(value >>> 0, body + 120),
    });
    expect(failures(attributes((1 << 28) | (1 << 29)))).toEqual(['policy.migration']);
    expect(failures(attributes((1 << 28) | 2))).toEqual(['tdx.attributes']);
    expect(failures(attributes(0))).toEqual(['tdx.attributes']);
    expect(failures(attributes(0), {}, { tdx: { requireSeptVeDisable: false } })).toEqual([]);
  });

  it('reports RTMR0, which covers the ACPI tables of the host, as unknown without a value to compare with', () => {
    const { checks } = verify(createQuote(intel, {}), createCollateral(intel, {}));
    const { outcome, note } = checks.find(({ name }) => name === 'tdx.rtmr0') ?? {};
    expect(outcome).toBe('not-checked');
    expect(note).toMatch(/no value for comparison.*ACPI tables of the host/);
  });

  it('refuses a bound service TD unless the policy lists it', () => {
    const beforeSigning = (quote: Buffer, body: number) => quote.fill(0xaa, body + 600, body + 648);
    expect(failures({ version: 5, beforeSigning })).toEqual(['tdx.service-td']);
    const mrServiceTd = ['aa'.repeat(48)];
    expect(failures({ version: 5, beforeSigning }, {}, { tdx: { mrServiceTd } })).toEqual([]);
  });

  it.each([
    ['tdx.mrtd', { mrtd: ['91'.repeat(48)] }, { mrtd: ['92'.repeat(48)] }],
    ['tdx.rtmr0', { rtmr0: ['40'.repeat(48)] }, { rtmr0: ['00'.repeat(48)] }],
    ['tdx.rtmr3', { rtmr3: ['43'.repeat(48)] }, { rtmr3: ['00'.repeat(48)] }],
    ['tdx.seam', { mrSeam: ['5b'.repeat(48)] }, { mrSeam: ['00'.repeat(48)] }],
    ['tdx.mrconfigid', { mrConfigId: ['00'.repeat(48)] }, { mrConfigId: ['01'.repeat(48)] }],
    ['tdx.mrowner', { mrOwner: ['00'.repeat(48)] }, { mrOwner: ['01'.repeat(48)] }],
    ['tdx.mrownerconfig', { mrOwnerConfig: ['00'.repeat(48)] }, { mrOwnerConfig: ['01'.repeat(48)] }],
    ['tdx.report-data', { reportData: hex(REPORT_DATA) }, { reportData: '00'.repeat(64) }],
    ['tdx.xfam', { allowedXfam: 'ffffffffffffffff' }, { allowedXfam: 'e700000000000000' }],
    ['tdx.minimum-svn', { minimumTeeTcbSvn: hex(TEE_TCB_SVN) }, { minimumTeeTcbSvn: `07${'00'.repeat(15)}` }],
    [
      'tdx.minimum-tcb-date',
      { minimumTcbDate: '2025-03-13T00:00:00Z' },
      { minimumTcbDate: '2025-03-14T00:00:00Z' },
    ],
    ['tdx.evaluation-number', { minimumEvaluationNumber: 18 }, { minimumEvaluationNumber: 19 }],
    [
      'tdx.collateral-age',
      { maximumCollateralAgeSeconds: 432_000 },
      { maximumCollateralAgeSeconds: 431_999 },
    ],
  ])('holds %s against the policy', (name, good, bad) => {
    expect(failures({}, {}, { tdx: good })).toEqual([]);
    expect(failures({}, {}, { tdx: bad })).toEqual([name]);
  });
});

describe('verifyTdx, on the re-signed collateral of negative.md,', () => {
  it('49: refuses TCB information of another platform', () => {
    expect(failures({}, { tcbInfo: (info) => Object.assign(info, { fmspc: '00a06d080001' }) })).toEqual([
      'tdx.tcb-info-platform',
    ]);
    expect(failures({}, { tcbInfo: (info) => Object.assign(info, { pceId: '0001' }) })).toEqual([
      'tdx.tcb-info-platform',
    ]);
  });

  it('50: refuses collateral that is stale or from the future', () => {
    const late = { nextUpdate: '2026-06-01T00:00:00Z' };
    const early = { issueDate: '2026-06-01T00:00:01Z' };
    for (const dates of [late, early]) {
      expect(failures({}, { tcbInfo: (info) => Object.assign(info, dates) })).toEqual(['tdx.tcb-info-dates']);
      expect(failures({}, { qeIdentity: (id) => Object.assign(id, dates) })).toEqual([
        'tdx.qe-identity-dates',
      ]);
    }
  });

  it('52: refuses a platform that reaches no level', () => {
    const older = createIntel({ components: Array.from({ length: 16 }, () => 0) });
    const verdict = verify(createQuote(older), createCollateral(older), { root: older.rootDigest });
    expect(verdict.failures).toEqual(['tdx.tcb-level']);
    const pce = createIntel({ pceSvn: 4 });
    expect(verify(createQuote(pce), createCollateral(pce), { root: pce.rootDigest }).failures).toEqual([
      'tdx.tcb-level',
    ]);
  });

  it.each([
    'Revoked',
    'OutOfDate',
    'ConfigurationNeeded',
    'SWHardeningNeeded',
    'OutOfDateConfigurationNeeded',
  ])('53: refuses a platform that is %s under a policy of UpToDate', (tcbStatus) => {
    const tcbInfo = (info: { tcbLevels: { tcbStatus: string }[] }) =>
      Object.assign(info.tcbLevels[0] ?? {}, { tcbStatus });
    expect(failures({}, { tcbInfo })).toEqual(['tdx.tcb-status']);
    if (tcbStatus === 'Revoked') return;
    expect(failures({}, { tcbInfo }, { tdx: { acceptedStatuses: ['UpToDate', tcbStatus] } })).toEqual([]);
  });

  it('53: refuses an advisory that the policy lists, whatever the status', () => {
    const tcbInfo = (info: { tcbLevels: { advisoryIDs: string[] }[] }) =>
      info.tcbLevels[0]?.advisoryIDs.push('INTEL-SA-09999');
    expect(failures({}, { tcbInfo })).toEqual([]);
    expect(failures({}, { tcbInfo }, { tdx: { refusedAdvisories: ['INTEL-SA-09999'] } })).toEqual([
      'tdx.advisories',
    ]);
  });

  it('54: uses the worst status of platform, module and quoting enclave', () => {
    const svn = (value: number) => (quote: Buffer, body: number) => quote.writeUInt8(value, body);
    const verdict = verify(createQuote(intel, { beforeSigning: svn(5) }), createCollateral(intel));
    expect(verdict.failures).toEqual(['tdx.tcb-status']);
    const status = verdict.checks.find((check) => check.name === 'tdx.tcb-status');
    expect(status).toMatchObject({
      found: 'OutOfDate',
      note: 'platform UpToDate, module OutOfDate, quoting enclave UpToDate',
    });
    expect(failures({ beforeSigning: svn(1) })).toEqual(['tdx.module']);
    const qeIdentity = (id: { tcbLevels: { tcbStatus: string }[] }) =>
      Object.assign(id.tcbLevels[0] ?? {}, { tcbStatus: 'OutOfDate' });
    expect(failures({}, { qeIdentity })).toEqual(['tdx.tcb-status']);
  });

  it('54: refuses a module without identity, or with another signer or attributes', () => {
    const beforeSigning = (quote: Buffer, body: number) => quote.writeUInt8(2, body + 1);
    expect(failures({ beforeSigning })).toEqual(['tdx.module']);
    expect(failures({ beforeSigning: (quote, body) => quote.writeUInt8(1, body + 64) })).toEqual([
      'tdx.module',
    ]);
    expect(failures({ beforeSigning: (quote, body) => quote.writeUInt8(1, body + 112) })).toEqual([
      'tdx.module',
    ]);
  });

  it('advises a relaunch if only the module at launch is old', () => {
    const beforeSigning = (quote: Buffer, body: number) => quote.writeUInt8(5, body);
    const verdict = verify(createQuote(intel, { version: 5, beforeSigning }), createCollateral(intel));
    expect(verdict.failures).toEqual(['tdx.tcb-status']);
    expect(verdict.checks.find((check) => check.name === 'tdx.tcb-status')?.found).toBe('RelaunchAdvised');
    const acceptedStatuses = ['UpToDate', 'RelaunchAdvised'];
    expect(failures({ version: 5, beforeSigning }, {}, { tdx: { acceptedStatuses } })).toEqual([]);
  });

  it('55: refuses a revoked PCK, CA or TCB signer', () => {
    expect(failures({}, { revokedByPlatform: [PCK_SERIAL] })).toEqual(['chain.revocation']);
    expect(failures({}, { revokedByRoot: [PLATFORM_SERIAL] })).toEqual(['chain.revocation']);
    expect(failures({}, { revokedByRoot: [SIGNER_SERIAL] })).toEqual([
      'tdx.tcb-info-signature',
      'tdx.qe-identity-signature',
    ]);
  });

  it('55: refuses stale lists, whose revocations remain effective', () => {
    const crlDates = { thisUpdate: AT - 3 * DAY, nextUpdate: AT - DAY };
    expect(failures({}, { crlDates })).toEqual(['chain.revocation-list']);
    expect(failures({}, { crlDates, revokedByPlatform: [PCK_SERIAL] })).toEqual([
      'chain.revocation-list',
      'chain.revocation',
    ]);
  });

  it('55: refuses a list that another key signed', () => {
    const other = createIntel();
    const collateral = {
      ...createCollateral(intel),
      revocationLists: createCollateral(other).revocationLists,
    };
    expect(verify(createQuote(intel), collateral).failures).toEqual(['chain.revocation-list']);
  });

  it('finds a quote without lists incomplete, unless the policy does not require them', () => {
    const collateral = { ...createCollateral(intel), revocationLists: [] };
    const verdict = verify(createQuote(intel), collateral);
    expect(verdict.failures).toEqual(['chain.revocation-list', 'chain.revocation']);
    expect(verdict.missing).toEqual(verdict.failures);
    expect(
      verify(createQuote(intel), collateral, { tdx: { requireRevocationLists: false } }).failures,
    ).toEqual([]);
  });

  it('refuses collateral that is not signed by the TCB signer', () => {
    const other = createIntel();
    const mixed = { ...createCollateral(other), certificates: createCollateral(intel).certificates };
    const collateral = { ...mixed, revocationLists: createCollateral(intel).revocationLists };
    expect(verify(createQuote(intel), collateral).failures).toEqual([
      'tdx.tcb-info-signature',
      'tdx.qe-identity-signature',
    ]);
  });

  it('refuses collateral whose signer has another root', () => {
    const other = createIntel();
    const { tcbInfos, qeIdentities, certificates } = createCollateral(other);
    const { revocationLists } = createCollateral(intel);
    const verdict = verify(createQuote(intel), { tcbInfos, qeIdentities, certificates, revocationLists });
    expect(verdict.failures).toEqual(['tdx.tcb-info-signature', 'tdx.qe-identity-signature']);
  });

  it('uses the newest of several current items', () => {
    const good = createCollateral(intel);
    const old = createCollateral(intel, {
      tcbInfo: (info) =>
        Object.assign(info, { issueDate: '2026-05-01T00:00:00Z', tcbLevels: [info.tcbLevels[1]] }),
    });
    const both = { ...good, tcbInfos: [...old.tcbInfos, ...good.tcbInfos] };
    expect(verify(createQuote(intel), both).failures).toEqual([]);
  });
});
