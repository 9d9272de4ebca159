/**
 * Every check of the appraisal, in the order in which a verdict lists them. A verdict has one entry for each row,
 * whatever the evidence: what could not be looked at stands there as `not-checked`, with the reason.
 */

/** Steps of the chain of trust, from bytes to decision. */
export type CheckStep = 'parse' | 'chain' | 'report' | 'binding' | 'launch' | 'policy' | 'other';

interface CheckRow {
  readonly step: CheckStep;
  /** A required check must pass: when it is not reached, the evidence is rejected all the same. */
  readonly required: boolean;
  /** What passing means. */
  readonly doc: string;
}

const must = (step: CheckStep, doc: string): CheckRow => ({ step, required: true, doc });
const may = (step: CheckStep, doc: string): CheckRow => ({ step, required: false, doc });

export const CHECKS = {
  'evidence.parse': must('parse', 'The bundle is deterministic CBOR of the documented form.'),
  'claims.parse': must('parse', 'The claims are deterministic CBOR of the documented form.'),
  'report.parse': must('parse', 'The report has a known version and layout; reserved fields are zero.'),
  'certificates.parse': must('parse', 'Every certificate is strict DER.'),

  'chain.leaf': must('chain', 'A P-384 endorsement certificate of the kind that the report names is there.'),
  'chain.intermediate': must(
    'chain',
    'The leaf is signed by the intermediate of its key class (RSA-PSS SHA-384).',
  ),
  'chain.root-signature': must('chain', 'The intermediate and the root are signed by the root.'),
  'chain.root': must(
    'chain',
    'The root is a pinned AMD root, or the development root that the policy names.',
  ),
  'chain.profile': must('chain', 'Algorithms, CA flags and critical extensions are those of the profile.'),
  'chain.validity': must('chain', 'Every certificate is valid at the time of appraisal.'),
  'chain.revocation': may('chain', 'No certificate of the chain is on a revocation list.'),

  'report.signature': must('report', 'The endorsement key signed the report.'),
  'report.product': must('report', 'CPU family and model, certificate and root name the same product.'),
  'report.chip-id': may('report', 'The certificate was issued for the chip in the report.'),
  'report.certificate-tcb': must('report', 'The certificate was issued for the reported TCB.'),
  'report.tcb-order': must('report', 'Reported TCB <= committed TCB <= current TCB.'),

  'binding.report-data': must('binding', 'REPORT_DATA binds this nonce and these claims.'),
  'binding.platform': must('binding', 'The claims name the platform that the root proves.'),
  'binding.host-data': may('binding', 'HOST_DATA, when set, is the digest of the manifest in the claims.'),
  'binding.manifest': may('binding', 'The claims hold the manifest that was agreed to.'),
  'binding.age': may('binding', 'The nonce is not older than the policy allows.'),

  'policy.platform': must('policy', 'The policy accepts the platform.'),
  'policy.endorsement-key': must('policy', 'The policy accepts reports signed by this kind of key.'),
  'policy.debug': must('policy', 'The host cannot read the guest through the debug interface.'),
  'policy.migration': must('policy', 'No migration agent can move the guest.'),
  'policy.smt': must('policy', 'The guest may share a core only if the policy allows it.'),
  'policy.vmpl': must('policy', 'The report was asked for at the privilege level of the policy.'),
  'policy.minimum-tcb': may('policy', 'The reported TCB reaches the minimum of the policy.'),
  'policy.provisional-firmware': must('policy', 'The platform firmware is committed.'),
  'policy.alias-check': may('policy', 'The machine has checked its memory for aliases.'),
  'policy.guest-svn': must('policy', 'The guest security version reaches the minimum.'),
  'policy.id-key': may('policy', 'The launch carries an ID block signed by a listed key.'),

  'launch.log': must('launch', 'The evidence lists what was launched, in a form the platform can have.'),
  'launch.measurement': must('launch', 'The measurement recomputed from the list is the one in the report.'),
  'launch.reference': must('launch', 'Reference values for this kind of launch are there.'),
  'launch.eos-version': must('launch', 'The claims name the EOS version of the reference values.'),
  'launch.firmware': may('launch', 'The firmware is the reference one.'),
  'launch.firmware-layout': may('launch', 'The measured memory sections are the reference ones.'),
  'launch.kernel': may('launch', 'The kernel is the reference one.'),
  'launch.initrd': may('launch', 'The initrd is the reference one.'),
  'launch.command-line': may('launch', 'The command line, its root hash apart, is the reference one.'),
  'launch.root-image': may('launch', 'The root image is the reference one (dm-verity root hash).'),
  'launch.vcpus': may('launch', 'The number of vCPUs is within the reference limit.'),
  'launch.vcpu-type': may('launch', 'The vCPU model is a reference one.'),
  'launch.guest-features': may('launch', 'The SEV features of the guest are reference ones.'),
  'launch.runtime': may('launch', 'The runtime of a process enclave is the reference one.'),
  'launch.agent': may('launch', 'The agent of a process enclave is the reference one.'),

  'vtpm.quote': may('other', 'A vTPM quote and its event log agree with the reference values.'),
  'dice.chain': may('other', 'A DICE chain leads from the platform to the agent.'),
} as const satisfies Record<string, CheckRow>;

export type CheckName = keyof typeof CHECKS;

/** All names, in table order. */
export const CHECK_NAMES = Object.keys(CHECKS) as readonly CheckName[];
