import { type CheckRow, may, must } from '../appraisal/check-row.ts';

/** What is asked of a TDX quote beyond its certificate chain and its signature. */
export const TDX_CHECKS = {
  'tdx.trailing-bytes': must('parse', 'Nothing but zero padding follows the signature data.'),
  'tdx.qe-vendor': must('report', "The quoting enclave is Intel's."),
  'tdx.qe-report-signature': must(
    'report',
    'The platform key (PCK) signed the report of the quoting enclave.',
  ),
  'tdx.key-binding': must('report', 'The report of the quoting enclave names the key that signed the quote.'),

  'tdx.tcb-info': must('collateral', 'TCB information for this platform is there.'),
  'tdx.tcb-info-signature': must('collateral', "Intel's TCB signing key signed exactly these bytes."),
  'tdx.tcb-info-dates': must('collateral', 'The TCB information is current at the time of appraisal.'),
  'tdx.tcb-info-platform': must('collateral', 'The TCB information speaks of this FMSPC and PCE.'),
  'tdx.qe-identity': must('collateral', 'The identity of the TD quoting enclave is there.'),
  'tdx.qe-identity-signature': must('collateral', "Intel's TCB signing key signed exactly these bytes."),
  'tdx.qe-identity-dates': must('collateral', 'The identity is current at the time of appraisal.'),
  'tdx.collateral-age': may('collateral', 'The collateral is not older than the policy allows.'),
  'tdx.evaluation-number': may('collateral', 'The TCB evaluation reaches the number of the policy.'),

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
  'tdx.minimum-tcb-date': may('policy', 'The TCB level is from the date of the policy or later.'),
  'tdx.minimum-svn': may('policy', 'TEE TCB, quoting enclave and PCE reach the minimum versions.'),
  'tdx.attributes': must('policy', 'No TD attribute is set that the policy does not know, none is missing.'),
  'tdx.xfam': may('policy', 'The extended features are those of the policy.'),
  'tdx.seam': may('policy', 'The TDX module is one that the policy lists.'),
  'tdx.mrtd': may('policy', 'MRTD is a value of the policy or of the reference values.'),
  'tdx.rtmr0': may('policy', 'RTMR0 is a value of the policy or of the reference values.'),
  'tdx.rtmr1': may('policy', 'RTMR1 is a value of the policy or of the reference values.'),
  'tdx.rtmr2': may('policy', 'RTMR2 is a value of the policy or of the reference values.'),
  'tdx.rtmr3': may('policy', 'RTMR3 is a value of the policy or of the reference values.'),
  'tdx.mrconfigid': may('policy', 'MRCONFIGID is the value of the policy.'),
  'tdx.mrowner': may('policy', 'MROWNER is the value of the policy.'),
  'tdx.mrownerconfig': may('policy', 'MROWNERCONFIG is the value of the policy.'),
  'tdx.service-td': must('policy', 'No service TD is bound, or one that the policy lists.'),
  'tdx.report-data': may('policy', 'REPORTDATA is the value of the policy.'),
  'tdx.event-log': may('policy', 'The event log replays to the RTMRs, and its data to its digests.'),
} as const satisfies Record<string, CheckRow>;
