import { type CheckRow, may, must } from '../appraisal/check-row.ts';

/** Checks of a TDX quote besides its certificate chain and signature. */
export const TDX_CHECKS = {
  'tdx.trailing-bytes': must('parse', 'Only zero padding follows the signature data.'),
  'tdx.certificate-order': must(
    'parse',
    'The quote contains the PCK certificate, its CA and the root, in this order and nothing else.',
  ),
  'tdx.qe-vendor': must('report', "The quoting enclave is Intel's."),
  'tdx.qe-report-signature': must(
    'report',
    'The platform key (PCK) signed the report of the quoting enclave.',
  ),
  'tdx.key-binding': must('report', 'The report of the quoting enclave names the key that signed the quote.'),

  'tdx.tcb-info': must('collateral', 'TCB information for this platform is present.'),
  'tdx.tcb-info-signature': must('collateral', "Intel's TCB signing key signed exactly these bytes."),
  'tdx.tcb-info-dates': must('collateral', 'The TCB information is current at the time of appraisal.'),
  'tdx.tcb-info-platform': must('collateral', 'The TCB information is for this FMSPC and PCE.'),
  'tdx.qe-identity': must('collateral', 'The identity of the TD quoting enclave is present.'),
  'tdx.qe-identity-signature': must('collateral', "Intel's TCB signing key signed exactly these bytes."),
  'tdx.qe-identity-dates': must('collateral', 'The identity is current at the time of appraisal.'),
  'tdx.collateral-age': may('collateral', 'The collateral is not older than the policy allows.'),
  'tdx.evaluation-number': may(
    'collateral',
    'The TCB evaluation reaches the number of the policy, and is one if the policy wants it.',
  ),

  'tdx.qe-identity-match': must(
    'report',
    'The quoting enclave has the signer, product and attributes of its identity.',
  ),
  'tdx.qe-level': must('report', 'The quoting enclave matches a level of its identity.'),
  'tdx.module': must(
    'report',
    'The TDX module has a known signer, attributes and, where versioned, identity.',
  ),
  'tdx.tcb-level': must('report', 'The platform matches a level of the TCB information.'),

  'tdx.tcb-status': must('policy', 'The worst status of platform, module and quoting enclave is acceptable.'),
  'tdx.advisories': may('policy', 'No advisory that the policy refuses applies.'),
  'tdx.minimum-tcb-date': may('policy', 'The TCB level is not older than the date in the policy.'),
  'tdx.minimum-svn': may('policy', 'TEE TCB, quoting enclave and PCE reach the minimum versions.'),
  'tdx.attributes': must('policy', 'No unknown TD attribute is set, and no required one is missing.'),
  'tdx.xfam': may('policy', 'The extended features conform to the policy.'),
  'tdx.seam': may('policy', 'The policy lists the TDX module.'),
  'tdx.mrtd': may('policy', 'MRTD matches the policy or the reference values.'),
  'tdx.rtmr0': may('policy', 'RTMR0 matches the policy or the reference values.'),
  'tdx.rtmr1': may('policy', 'RTMR1 matches the policy or the reference values.'),
  'tdx.rtmr2': may('policy', 'RTMR2 matches the policy or the reference values.'),
  'tdx.rtmr3': may('policy', 'RTMR3 matches the policy or the reference values.'),
  'tdx.mrconfigid': may('policy', 'MRCONFIGID has the value in the policy.'),
  'tdx.mrowner': may('policy', 'MROWNER has the value in the policy.'),
  'tdx.mrownerconfig': may('policy', 'MROWNERCONFIG has the value in the policy.'),
  'tdx.service-td': must('policy', 'Either no service TD is bound, or one that the policy lists.'),
  'tdx.report-data': may('policy', 'REPORTDATA has the value in the policy.'),
  'tdx.event-log': may('policy', 'The event log replays to the RTMRs, and its data matches its digests.'),
} as const satisfies Record<string, CheckRow>;
