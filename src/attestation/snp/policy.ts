import { bytesToHex } from '@noble/hashes/utils.js';
import type { AppraisalPolicy } from '../policy.ts';
import type { CheckList } from '../verdict.ts';
import type { SnpReport } from './abi.ts';
import type { SnpProduct } from './products.ts';
import { TCB_PARTS, tcbText } from './tcb.ts';
import type { VerifiedTcb } from './verify.ts';

/** Is a genuine report acceptable? Every rule of the policy against the report, recorded as `policy.*` checks. */

/** PLATFORM_INFO bit 5: ALIAS_CHECK_COMPLETE. */
const ALIAS_CHECK_COMPLETE = 1n << 5n;

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
  flag('policy.smt', report.policy.smt, policy.allowSmt);
}

function checkMinimumTcb(
  tcb: VerifiedTcb,
  product: SnpProduct,
  policy: AppraisalPolicy,
  checks: CheckList,
): void {
  const minimum = policy.minimumTcb[product];
  if (minimum === undefined) {
    checks.notChecked('policy.minimum-tcb', `the policy has no minimum for ${product}`);
    return;
  }
  // A part that the product does not have cannot reach a minimum that asks for it.
  const reached = TCB_PARTS.every((part) => {
    const least = minimum[part];
    return least === undefined || (tcb.reported[part] ?? -1) >= least;
  });
  const wanted = TCB_PARTS.filter((part) => minimum[part] !== undefined).map(
    (part) => `${part} ${minimum[part]}`,
  );
  checks.record('policy.minimum-tcb', reached, `at least ${wanted.join(', ')}`, tcbText(tcb.reported));
}

function checkProvisional(
  report: SnpReport,
  tcb: VerifiedTcb,
  policy: AppraisalPolicy,
  checks: CheckList,
): void {
  const sameTcb = TCB_PARTS.every((part) => tcb.committed[part] === tcb.current[part]);
  const { currentFirmware: current, committedFirmware: committed } = report;
  const sameBuild =
    current.major === committed.major &&
    current.minor === committed.minor &&
    current.build === committed.build;
  checks.record(
    'policy.provisional-firmware',
    policy.allowProvisionalFirmware || (sameTcb && sameBuild),
    policy.allowProvisionalFirmware ? 'allowed' : `committed ${tcbText(tcb.committed)}`,
    `current ${tcbText(tcb.current)}`,
  );
}

function checkIdKey(report: SnpReport, policy: AppraisalPolicy, checks: CheckList): void {
  if (policy.idKeyDigests === undefined) {
    checks.notChecked('policy.id-key', 'the policy names no ID keys');
    return;
  }
  const found = bytesToHex(report.idKeyDigest);
  checks.record(
    'policy.id-key',
    policy.idKeyDigests.includes(found),
    policy.idKeyDigests.join(' or '),
    found,
  );
}

/** Records every `policy.*` check except `policy.platform`. */
export function checkSnpPolicy(
  report: SnpReport,
  tcb: VerifiedTcb,
  product: SnpProduct,
  policy: AppraisalPolicy,
  checks: CheckList,
): void {
  const { signingKey } = report;
  const keyAllowed = signingKey !== 'none' && policy.endorsementKeys.includes(signingKey);
  checks.record('policy.endorsement-key', keyAllowed, policy.endorsementKeys.join(' or '), signingKey);
  checkFlags(report, policy, checks);
  const vmpl = report.vmpl > 3 ? 'asked for by the host' : String(report.vmpl);
  checks.equal('policy.vmpl', String(policy.vmpl), vmpl);
  checkMinimumTcb(tcb, product, policy, checks);
  checkProvisional(report, tcb, policy, checks);
  const aliasChecked = (report.platformInfo & ALIAS_CHECK_COMPLETE) !== 0n;
  if (policy.requireAliasCheck) {
    checks.record('policy.alias-check', aliasChecked, 'complete', aliasChecked ? 'complete' : 'not complete');
  } else {
    checks.notChecked('policy.alias-check', 'the policy does not ask for it');
  }
  checks.record(
    'policy.guest-svn',
    report.guestSvn >= policy.minimumGuestSvn,
    `at least ${policy.minimumGuestSvn}`,
    String(report.guestSvn),
  );
  checkIdKey(report, policy, checks);
}
