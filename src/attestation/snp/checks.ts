import { type CheckRow, may, must } from '../appraisal/check-row.ts';

/** Checks of an SNP report, from hardware or from the emulated security processor. */
export const SNP_CHECKS = {
  'report.product': must('report', 'CPU family and model, certificate and root name the same product.'),
  'report.chip-id': may('report', 'The certificate was issued for the chip in the report.'),
  'report.certificate-tcb': must('report', 'The certificate was issued for the reported TCB.'),
  'report.tcb-order': must('report', 'Reported TCB <= committed TCB <= current TCB.'),

  'policy.endorsement-key': must('policy', 'The policy accepts reports signed by this kind of key.'),
  'policy.provider': may('policy', 'The provider key belongs to a provider that the policy lists.'),
  'policy.smt': must('policy', 'The guest may share a core only if the policy allows it.'),
  'policy.single-socket': may('policy', 'The guest is bound to one socket.'),
  'policy.abi': may('policy', 'The guest policy requires at least this version of the firmware interface.'),
  'policy.vmpl': must('policy', 'The report was requested at the privilege level of the policy.'),
  'policy.minimum-tcb': may('policy', 'The reported TCB reaches the minimum of the policy.'),
  'policy.minimum-committed-tcb': may('policy', 'The committed TCB reaches its minimum.'),
  'policy.minimum-launch-tcb': may('policy', 'The TCB at launch reaches its minimum.'),
  'policy.minimum-current-tcb': may('policy', 'The current TCB reaches its minimum.'),
  'policy.minimum-firmware': may('policy', 'The committed firmware version reaches its minimum.'),
  'policy.provisional-firmware': must(
    'policy',
    'The platform firmware is committed, if the policy requires it.',
  ),
  'policy.alias-check': may('policy', 'The machine has checked its memory for aliases.'),
  'policy.mitigations': may('policy', 'The mitigations that the policy requires are active.'),
  'policy.platform-info': may('policy', 'The properties of the platform conform to the policy.'),
  'policy.guest-svn': must('policy', 'The guest security version reaches the minimum.'),
  'policy.measurement': may('policy', 'The policy lists the launch measurement.'),
  'policy.host-data': may('policy', 'HOST_DATA has the value in the policy.'),
  'policy.report-data': may('policy', 'REPORT_DATA has the value in the policy.'),
  'policy.family-id': may('policy', 'The policy lists the FAMILY_ID.'),
  'policy.image-id': may('policy', 'The policy lists the IMAGE_ID.'),
  'policy.id-key': may('policy', 'The launch has an ID block signed by a listed key.'),
  'policy.author-key': may('policy', 'The ID key is signed by a listed author key.'),
  'policy.chip': may('policy', 'The policy lists the chip.'),
} as const satisfies Record<string, CheckRow>;
