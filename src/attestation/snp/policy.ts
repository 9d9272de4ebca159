import type { CheckList } from '../appraisal/verdict.ts';
import type { AppraisalPolicy } from '../policy/policy.ts';
import type { FirmwareVersion, SnpReport } from './abi.ts';
import type { SnpChain } from './chain.ts';
import { shippedMinimumNote } from './minimum-tcb.ts';
import { platformInfoNames } from './platform-info.ts';
import type { MinimumTcbs, SnpPolicy } from './policy-rules.ts';
import type { SnpProduct } from './products.ts';
import { TCB_PARTS, type Tcb, tcbText } from './tcb.ts';
import type { VerifiedTcb } from './verify.ts';

/** Whether a genuine report is acceptable: compares it with every rule of the policy, as `policy.*` checks. */

function checkFlags(report: SnpReport, policy: AppraisalPolicy, checks: CheckList): void {
  const flag = (
    name: 'policy.debug' | 'policy.migration' | 'policy.smt',
    set: boolean,
    allowed: boolean,
  ): void => {
    checks.record(name, allowed || !set, allowed ? 'allowed' : 'not allowed', set ? 'on' : 'off');
  };
  flag('policy.debug', report.policy.debug, policy.allowDebug);
  flag('policy.migration', report.policy.migrationAgent, policy.allowMigration);
  flag('policy.smt', report.policy.smt, policy.snp.allowSmt);
  if (policy.snp.requireSingleSocket) {
    const single = report.policy.singleSocket;
    checks.record(
      'policy.single-socket',
      single,
      'one socket',
      single ? 'one socket' : 'any number of sockets',
    );
  } else {
    checks.notChecked('policy.single-socket', 'the policy does not require it');
  }
}

function checkSigner(report: SnpReport, chain: SnpChain, policy: SnpPolicy, checks: CheckList): void {
  const { signingKey } = report;
  const allowed = signingKey !== 'none' && policy.endorsementKeys.includes(signingKey);
  checks.record('policy.endorsement-key', allowed, policy.endorsementKeys.join(' or '), signingKey);
  const { providerId } = chain.endorsement;
  if (providerId === null) {
    checks.notChecked('policy.provider', 'signed by a chip key, not a provider key');
  } else if (policy.providers === undefined) {
    checks.notChecked('policy.provider', `the policy lists no providers; found ${providerId}`);
  } else {
    const { providers } = policy;
    checks.record('policy.provider', providers.includes(providerId), providers.join(' or '), providerId);
  }
}

type MinimumCheck =
  | 'policy.minimum-tcb'
  | 'policy.minimum-committed-tcb'
  | 'policy.minimum-launch-tcb'
  | 'policy.minimum-current-tcb';

function checkMinimum(
  name: MinimumCheck,
  tcb: Tcb,
  product: SnpProduct,
  minimums: MinimumTcbs,
  checks: CheckList,
  note?: string,
): void {
  const minimum = minimums[product];
  if (minimum === undefined || Object.keys(minimum).length === 0) {
    checks.notChecked(name, note ?? `the policy has no minimum for ${product}`);
    return;
  }
  // A component that the product does not have cannot reach a required minimum.
  const reached = TCB_PARTS.every((part) => {
    const least = minimum[part];
    return least === undefined || (tcb[part] ?? -1) >= least;
  });
  const wanted = TCB_PARTS.filter((part) => minimum[part] !== undefined).map(
    (part) => `${part} ${minimum[part]}`,
  );
  checks.record(name, reached, `at least ${wanted.join(', ')}`, tcbText(tcb), note);
}

const versionText = ({ major, minor, build }: FirmwareVersion): string => `${major}.${minor}.${build}`;

function checkFirmware(report: SnpReport, tcb: VerifiedTcb, policy: SnpPolicy, checks: CheckList): void {
  const sameTcb = TCB_PARTS.every((part) => tcb.committed[part] === tcb.current[part]);
  const { currentFirmware: current, committedFirmware: committed } = report;
  const sameBuild = versionText(current) === versionText(committed);
  checks.record(
    'policy.provisional-firmware',
    policy.allowProvisionalFirmware || (sameTcb && sameBuild),
    policy.allowProvisionalFirmware ? 'allowed' : `committed ${tcbText(tcb.committed)}`,
    sameTcb && sameBuild ? 'committed' : `current ${tcbText(tcb.current)}, not committed yet`,
  );
  const least = policy.minimumFirmware;
  if (least === undefined) {
    checks.notChecked('policy.minimum-firmware', 'the policy has no minimum');
    return;
  }
  const order = [committed.major - least.major, committed.minor - least.minor, committed.build - least.build];
  const reached = (order.find((difference) => difference !== 0) ?? 0) >= 0;
  checks.record('policy.minimum-firmware', reached, `at least ${versionText(least)}`, versionText(committed));
}

function checkAbi(report: SnpReport, policy: SnpPolicy, checks: CheckList): void {
  const least = policy.minimumAbi;
  if (least === undefined) {
    checks.notChecked('policy.abi', 'the policy has no minimum');
    return;
  }
  const { abiMajor, abiMinor } = report.policy;
  const reached = abiMajor > least.major || (abiMajor === least.major && abiMinor >= least.minor);
  checks.record('policy.abi', reached, `at least ${least.major}.${least.minor}`, `${abiMajor}.${abiMinor}`);
}

function checkPlatform(report: SnpReport, policy: SnpPolicy, checks: CheckList): void {
  const on = platformInfoNames(report.platformInfo);
  const text = on.length === 0 ? 'none' : on.join(', ');
  if (policy.requireAliasCheck) {
    checks.record('policy.alias-check', on.includes('aliasCheckComplete'), 'complete', text);
  } else {
    checks.notChecked('policy.alias-check', 'the policy does not require it');
  }
  const { required, forbidden } = policy.platformInfo;
  if (required.length + forbidden.length === 0) {
    checks.notChecked('policy.platform-info', `the policy has no requirement; enabled: ${text}`);
    return;
  }
  const ok = required.every((name) => on.includes(name)) && !forbidden.some((name) => on.includes(name));
  const expected = [...required, ...forbidden.map((name) => `not ${name}`)].join(', ');
  checks.record('policy.platform-info', ok, expected, text);
}

function checkMitigations(report: SnpReport, { requiredMitigations }: SnpPolicy, checks: CheckList): void {
  const { mitigations } = report;
  const hex = (bits: bigint): string => `0x${bits.toString(16)}`;
  const found =
    mitigations === null
      ? `none in a report of version ${report.version}`
      : `launch ${hex(mitigations.launch)}, current ${hex(mitigations.current)}`;
  const { launch, current } = requiredMitigations;
  if (launch === undefined && current === undefined) {
    checks.notChecked('policy.mitigations', `the policy requires none; found ${found}`);
    return;
  }
  const has = (bits: bigint | undefined, required: string | undefined): boolean =>
    required === undefined || (bits !== undefined && (bits & BigInt(required)) === BigInt(required));
  const ok = has(mitigations?.launch, launch) && has(mitigations?.current, current);
  checks.record('policy.mitigations', ok, `launch ${launch ?? 'any'}, current ${current ?? 'any'}`, found);
}

function checkIdentity(report: SnpReport, policy: SnpPolicy, checks: CheckList): void {
  const absent = 'the policy lists none';
  const one = (value: string | undefined): readonly string[] | undefined =>
    value === undefined ? undefined : [value];
  checks.oneOf('policy.measurement', policy.measurements, report.measurement, absent);
  checks.oneOf('policy.host-data', one(policy.hostData), report.hostData, absent);
  checks.oneOf('policy.report-data', one(policy.reportData), report.reportData, absent);
  checks.oneOf('policy.family-id', policy.familyIds, report.familyId, absent);
  checks.oneOf('policy.image-id', policy.imageIds, report.imageId, absent);
  checks.oneOf('policy.id-key', policy.idKeyDigests, report.idKeyDigest, absent);
  checks.oneOf('policy.author-key', policy.authorKeyDigests, report.authorKeyDigest, absent);
  checks.oneOf('policy.chip', policy.chipIds, report.chipId, absent);
  const authorless = policy.authorKeyDigests !== undefined && !report.authorKeyUsed;
  if (authorless) checks.record('policy.author-key', false, 'a listed author key', 'no author key was used');
}

/** Records every `policy.*` check except `policy.platform`. */
export function checkSnpPolicy(
  report: SnpReport,
  tcb: VerifiedTcb,
  chain: SnpChain,
  policy: AppraisalPolicy,
  at: number,
  checks: CheckList,
): void {
  const { product } = chain;
  const { snp } = policy;
  checkSigner(report, chain, snp, checks);
  checkFlags(report, policy, checks);
  checkAbi(report, snp, checks);
  const vmpl = report.vmpl > 3 ? 'requested by the host' : String(report.vmpl);
  checks.equal('policy.vmpl', String(snp.vmpl), vmpl);
  const note = shippedMinimumNote(product, snp.minimumTcb[product] ?? {}, at) ?? undefined;
  checkMinimum('policy.minimum-tcb', tcb.reported, product, snp.minimumTcb, checks, note);
  checkMinimum('policy.minimum-committed-tcb', tcb.committed, product, snp.minimumCommittedTcb, checks);
  checkMinimum('policy.minimum-launch-tcb', tcb.launch, product, snp.minimumLaunchTcb, checks);
  checkMinimum('policy.minimum-current-tcb', tcb.current, product, snp.minimumCurrentTcb, checks);
  checkFirmware(report, tcb, snp, checks);
  checkPlatform(report, snp, checks);
  checkMitigations(report, snp, checks);
  const least = snp.minimumGuestSvn;
  checks.record('policy.guest-svn', report.guestSvn >= least, `at least ${least}`, String(report.guestSvn));
  checkIdentity(report, snp, checks);
}
