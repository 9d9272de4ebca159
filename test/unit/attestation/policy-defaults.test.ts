import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { CheckName } from '../../../src/attestation/appraisal/checks.ts';
import { SHIPPED_MINIMUM } from '../../../src/attestation/snp/minimum-tcb.ts';
import { attestationCrypto } from '../../../src/crypto/attestation-crypto.ts';
import { eventLog, extendAll, type LogEvent } from '../../fakes/fake-tpm.ts';
import { bundle, dice, EVENTS, type Members, type Scene, snp, tdx, tpm } from '../../fakes/policy-scenes.ts';

/**
 * Each member of docs/policy.md: evidence that is judged differently when the member is absent and when it has the given
 * value. So the default that the page shows is what the appraisal does, and the member is what changes it.
 */

/** `null` for accepted, or the check that rejects. */
type Judged = CheckName | null;
interface Case {
  readonly evidence: Scene;
  readonly value: unknown;
  readonly byDefault: Judged;
  readonly withValue: Judged;
  /** Members without which the tested one has no effect. */
  readonly also?: Members;
}

/** The strict default refuses the evidence with this check; the value accepts it. */
const refusedUnless = (check: CheckName, value: unknown, evidence: Scene): Case => ({
  ...{ evidence, value, byDefault: check, withValue: null },
});
/** Without the member everything is accepted; the value demands something. */
const demands = (check: CheckName, value: unknown, evidence: Scene, also: Members = {}): Case => ({
  ...{ evidence, value, byDefault: null, withValue: check, also },
});

const report = (write: (report: Buffer) => void): Scene => snp({ beforeSigning: write });
const quote = (write: (quote: Buffer, body: number) => void): Scene =>
  tdx({ quote: { beforeSigning: write } });
const guestPolicy = (bit: bigint) => report((r) => r.writeBigUInt64LE(0x30000n | (1n << bit), 0x008));
const hex = (byte: string, bytes: number): string => byte.repeat(bytes);
const other48 = [hex('ee', 48)];

/** An event whose digest covers the certificate alone, without the header of the variable. */
const certificate = new TextEncoder().encode('certificate');
const variable = Buffer.concat([Buffer.alloc(32), Buffer.from('db', 'utf16le'), certificate]);
variable.writeBigUInt64LE(2n, 16);
variable.writeBigUInt64LE(BigInt(certificate.length), 24);
const quirk = (register: number, bank: 'sha256' | 'sha384'): LogEvent => ({
  register,
  type: 0x800000e0,
  data: variable,
  digests: [[bank, attestationCrypto[bank](certificate)]],
});
const RTMR_EVENTS = [quirk(1, 'sha384')];
const rtmrs = (q: Buffer, body: number) => {
  q.fill(0, body + 328, body + 520);
  for (const [index, value] of extendAll(RTMR_EVENTS, 'sha384')) q.set(value, body + 328 + 48 * (index - 1));
};
const tcbLevel = (change: object): Scene =>
  tdx({ collateral: { tcbInfo: (info) => Object.assign(info.tcbLevels[0] ?? {}, change) } });

const TOP: Readonly<Record<string, Case>> = {
  emulatedRoot: {
    evidence: bundle({ trusted: false }),
    value: '$emulated',
    byDefault: 'chain.root',
    withValue: 'policy.platform',
  },
  allowDebug: refusedUnless('policy.debug', true, guestPolicy(19n)),
  allowMigration: refusedUnless('policy.migration', true, guestPolicy(18n)),
  maxAgeSeconds: demands('binding.age', 60, bundle()),
};

const vlek = { 'snp.endorsementKeys': ['vlek'] };
const SNP: Readonly<Record<string, Case>> = {
  'snp.endorsementKeys': refusedUnless('policy.endorsement-key', ['vlek'], snp({ kind: 'VLEK' })),
  'snp.providers': demands('policy.provider', ['CN=other'], snp({ kind: 'VLEK' }), vlek),
  'snp.trustedRoots': refusedUnless('chain.root', '$milan', snp({ trusted: false })),
  'snp.requireRevocationList': refusedUnless('chain.revocation-list', false, snp({ lists: false })),
  'snp.allowProvisionalFirmware': demands(
    'policy.provisional-firmware',
    false,
    report((r) => r.writeUInt8(255, 0x038 + 7)),
  ),
  'snp.allowSmt': demands('policy.smt', false, snp()),
  'snp.requireSingleSocket': demands('policy.single-socket', true, snp()),
  'snp.requireAliasCheck': demands(
    'policy.alias-check',
    true,
    report((r) => r.writeBigUInt64LE(0x5n, 0x040)),
  ),
  'snp.allowMaskedChipId': refusedUnless(
    'report.chip-id',
    true,
    report((r) => r.fill(0, 0x1a0, 0x1e0)),
  ),
  'snp.requiredMitigations.launch': demands('policy.mitigations', '0x1', snp()),
  'snp.requiredMitigations.current': demands('policy.mitigations', '0x1', snp()),
  'snp.platformInfo.required': demands('policy.platform-info', ['tsme'], snp()),
  'snp.platformInfo.forbidden': demands('policy.platform-info', ['smt'], snp()),
  'snp.vmpl': refusedUnless(
    'policy.vmpl',
    1,
    report((r) => r.writeUInt32LE(1, 0x030)),
  ),
  'snp.minimumAbi': demands('policy.abi', { major: 1, minor: 0 }, snp()),
  'snp.minimumFirmware': demands('policy.minimum-firmware', { major: 1, minor: 0 }, snp()),
  'snp.minimumTcb': refusedUnless(
    'policy.minimum-tcb',
    { milan: {} },
    snp({ snpLevel: SHIPPED_MINIMUM.milan.levels.snp - 1 }),
  ),
  'snp.minimumCommittedTcb': demands('policy.minimum-committed-tcb', { milan: { microcode: 255 } }, snp()),
  'snp.minimumLaunchTcb': demands('policy.minimum-launch-tcb', { milan: { microcode: 255 } }, snp()),
  'snp.minimumCurrentTcb': demands('policy.minimum-current-tcb', { milan: { microcode: 255 } }, snp()),
  'snp.minimumGuestSvn': demands('policy.guest-svn', 2, snp()),
  'snp.measurements': demands('policy.measurement', other48, snp()),
  'snp.hostData': demands('policy.host-data', hex('ee', 32), snp()),
  'snp.reportData': demands('policy.report-data', hex('ee', 64), snp()),
  'snp.familyIds': demands('policy.family-id', [hex('ee', 16)], snp()),
  'snp.imageIds': demands('policy.image-id', [hex('ee', 16)], snp()),
  'snp.idKeyDigests': demands('policy.id-key', other48, snp()),
  'snp.authorKeyDigests': demands('policy.author-key', other48, snp()),
  'snp.chipIds': demands('policy.chip', [hex('ee', 64)], snp()),
};

const register = (check: CheckName): Case => demands(check, other48, tdx());
const TDX: Readonly<Record<string, Case>> = {
  'tdx.trustedRoots': refusedUnless('chain.root', '$intel', tdx({ trusted: false })),
  'tdx.requireRevocationLists': refusedUnless('chain.revocation-list', false, tdx({ lists: false })),
  'tdx.acceptedStatuses': refusedUnless(
    'tdx.tcb-status',
    ['OutOfDate'],
    tcbLevel({ tcbStatus: 'OutOfDate' }),
  ),
  'tdx.minimumTcbDate': demands('tdx.minimum-tcb-date', '2999-01-01T00:00:00Z', tdx()),
  'tdx.minimumEvaluationNumber': demands('tdx.evaluation-number', 4_294_967_295, tdx()),
  'tdx.requireSameEvaluation': demands(
    'tdx.evaluation-number',
    true,
    tdx({ collateral: { tcbInfo: (info) => Object.assign(info, { tcbEvaluationDataNumber: 17 }) } }),
  ),
  'tdx.refusedAdvisories': demands(
    'tdx.advisories',
    ['INTEL-SA-1'],
    tcbLevel({ advisoryIDs: ['INTEL-SA-1'] }),
  ),
  'tdx.maximumCollateralAgeSeconds': demands('tdx.collateral-age', 1, tdx()),
  'tdx.requireSeptVeDisable': refusedUnless(
    'tdx.attributes',
    false,
    quote((q, body) => q.fill(0, body + 120, body + 128)),
  ),
  'tdx.requiredAttributes': demands('tdx.attributes', '0000004000000000', tdx()),
  'tdx.requiredXfam': demands('tdx.xfam', hex('ff', 8), tdx()),
  'tdx.allowedXfam': demands('tdx.xfam', hex('00', 8), tdx()),
  'tdx.minimumTeeTcbSvn': demands('tdx.minimum-svn', hex('ff', 16), tdx()),
  'tdx.minimumQeSvn': demands('tdx.minimum-svn', 65_535, tdx()),
  'tdx.minimumPceSvn': demands('tdx.minimum-svn', 65_535, tdx()),
  'tdx.mrSeam': register('tdx.seam'),
  'tdx.mrtd': register('tdx.mrtd'),
  'tdx.rtmr0': register('tdx.rtmr0'),
  'tdx.rtmr1': register('tdx.rtmr1'),
  'tdx.rtmr2': register('tdx.rtmr2'),
  'tdx.rtmr3': register('tdx.rtmr3'),
  'tdx.mrConfigId': register('tdx.mrconfigid'),
  'tdx.mrOwner': register('tdx.mrowner'),
  'tdx.mrOwnerConfig': register('tdx.mrownerconfig'),
  'tdx.acceptedEventQuirks': refusedUnless(
    'tdx.event-log',
    ['variable-authority-data'],
    tdx({ quote: { beforeSigning: rtmrs }, eventLog: eventLog(RTMR_EVENTS, { banks: ['sha384'] }) }),
  ),
  'tdx.mrServiceTd': refusedUnless(
    'tdx.service-td',
    [hex('aa', 48)],
    tdx({ quote: { version: 5, beforeSigning: (q, body) => q.fill(0xaa, body + 600, body + 648) } }),
  ),
  'tdx.reportData': demands('tdx.report-data', hex('ee', 64), tdx()),
};

const VTPM: Readonly<Record<string, Case>> = {
  'vtpm.required': demands('vtpm.quote', true, bundle()),
  'vtpm.banks': demands('vtpm.bank', ['sha384'], tpm()),
  'vtpm.requiredPcrs': demands('vtpm.selection', [3], tpm()),
  'vtpm.pcrs.sha256': demands('vtpm.pcrs', { '4': hex('ee', 32) }, tpm()),
  'vtpm.pcrs.sha384': demands('vtpm.pcrs', { '4': hex('ee', 48) }, tpm()),
  'vtpm.pcrs.sha512': demands('vtpm.pcrs', { '4': hex('ee', 64) }, tpm()),
  'vtpm.requireEventLog': demands('vtpm.event-log', true, tpm({ log: false })),
  'vtpm.acceptedEventQuirks': refusedUnless(
    'vtpm.event-data',
    ['variable-authority-data'],
    tpm({ events: [...EVENTS, quirk(7, 'sha256')] }),
  ),
  'vtpm.requireSafeClock': demands('vtpm.safe', true, tpm({ attest: { safe: 0 } })),
  'vtpm.unloggedPcrs': refusedUnless(
    'vtpm.event-log',
    [10],
    tpm({ extra: new Map([[10, new Uint8Array(32).fill(9)]]) }),
  ),
  'vtpm.trustedRoots': demands('vtpm.key-binding', [`sha256:${hex('ee', 32)}`], bundle({ vtpm: true })),
};

const DICE: Readonly<Record<string, Case>> = {
  'dice.required': demands('dice.chain', true, bundle()),
  'dice.allowedModes': refusedUnless('dice.mode', ['normal', 'debug'], dice({ mode: 2 })),
  'dice.rootKeys': refusedUnless('dice.root', '$root', dice({}, false)),
  'dice.layers': demands('dice.code', [{ codeHashes: [hex('ee', 64)] }, {}], dice()),
};
const CASES = { ...TOP, ...SNP, ...TDX, ...VTPM, ...DICE };

/** The rows of the table in docs/policy.md: member, type, default. */
const page = readFileSync(new URL('../../../docs/policy.md', import.meta.url), 'utf8');
const rows = page
  .split('\n')
  .filter((line) => line.startsWith('| `'))
  .map((line) => line.split(/ \| /).map((cell) => cell.replace(/^\| /, '').replace(/^`(.*)`$/, '$1')))
  .map(([member = '', type = '', fallback = '']) => ({ member, type, fallback }));

const judged = async (evidence: Scene, members: Members): Promise<Judged> => {
  const [first] = await evidence(members);
  return first ?? null;
};

describe('docs/policy.md', () => {
  it('has a row for each member that is tested here, and no other', () => {
    const isTested = ({ member, fallback }: (typeof rows)[number]) =>
      fallback !== '**required**' && !rows.some((row) => row.member.startsWith(`${member}.`));
    expect(
      rows
        .filter(isTested)
        .map(({ member }) => member)
        .toSorted(),
    ).toEqual(Object.keys(CASES).toSorted());
    expect(rows.filter(({ fallback }) => fallback === '**required**').map(({ member }) => member)).toEqual([
      'version',
      'platforms',
    ]);
  });

  it.each(Object.entries(CASES))(
    'states the default of %s that the appraisal applies',
    async (member, row) => {
      const { evidence, value, byDefault, withValue, also = {} } = row;
      expect(await judged(evidence, also)).toBe(byDefault);
      expect(await judged(evidence, { ...also, [member]: value })).toBe(withValue);
      const { fallback = '' } = rows.find((each) => each.member === member) ?? {};
      if (fallback === '') return;
      const shown: unknown = JSON.parse(fallback);
      expect(await judged(evidence, { ...also, [member]: shown })).toBe(byDefault);
    },
  );
});
