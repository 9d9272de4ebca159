import { DICE_CHECKS } from '../dice/checks.ts';
import { SNP_CHECKS } from '../snp/checks.ts';
import { TDX_CHECKS } from '../tdx/checks.ts';
import { TPM_CHECKS } from '../tpm/checks.ts';
import { type CheckRow, may, must } from './check-row.ts';

/**
 * Every check of the appraisal. A verdict lists the whole scope of what it judged, whatever it found: what could not
 * be looked at stands there as `not-checked`, with the reason.
 */

export type { CheckStep } from './check-row.ts';

const BUNDLE_CHECKS = {
  'evidence.parse': must('parse', 'The bundle is deterministic CBOR of the documented form.'),
  'claims.parse': must('parse', 'The claims are deterministic CBOR of the documented form.'),
} as const satisfies Record<string, CheckRow>;

/** Of any report that a platform key signs. */
const REPORT_CHECKS = {
  'report.parse': must('parse', 'The report has a known version and layout; reserved fields are zero.'),
  'certificates.parse': must('parse', 'Every certificate and revocation list is strict DER.'),

  'chain.leaf': must('chain', 'A certificate of the kind of key that the report names is there.'),
  'chain.intermediate': must('chain', 'The leaf is signed by the intermediate of its key class.'),
  'chain.root-signature': must('chain', 'The intermediate and the root are signed by the root.'),
  'chain.root': must('chain', "The root is the vendor's pinned one, or one that the policy names."),
  'chain.profile': must('chain', 'Algorithms, CA flags and critical extensions are those of the profile.'),
  'chain.validity': must('chain', 'Every certificate is valid at the time of appraisal.'),
  'chain.revocation-list': may('chain', 'Revocation lists are there, rightly signed and current.'),
  'chain.revocation': may('chain', 'No certificate of the chain is on a revocation list.'),

  'report.signature': must('report', 'The key that the chain endorses signed the report.'),

  'policy.platform': must('policy', 'The policy accepts the platform.'),
  'policy.debug': must('policy', 'The host cannot read the guest through the debug interface.'),
  'policy.migration': must('policy', 'The guest cannot be moved to another machine.'),
} as const satisfies Record<string, CheckRow>;

/** Why a statement could not be parsed, where that has a name of its own; listed only when it is the reason. */
const FORM_CHECKS = {
  'report.size': may('parse', 'The report has exactly the size of its kind.'),
  'report.version': may('parse', 'The version is one that is known.'),
  'report.algorithm': may('parse', 'The report is signed by the algorithm of its kind.'),
  'report.signature-form': may('parse', 'The signature has the one form that its value has.'),
  'report.policy-bits': may('parse', 'The guest policy has its reserved bits as the interface demands.'),
  'report.vmpl': may('parse', 'The privilege level is one that exists.'),
  'report.key-info': may('parse', 'The report says which kind of key signed it, in a way that is known.'),
  'report.certificate-table': may('parse', 'The table behind the report holds together.'),
  'report.reserved': may('parse', 'Reserved fields are zero.'),
  'tdx.tee-type': may('parse', 'The quote is of a trust domain.'),
  'tdx.key-type': may('parse', 'The attestation key is of ECDSA P-256.'),
  'tdx.body-descriptor': may('parse', 'The body has the size of its type.'),
  'tdx.lengths': may('parse', 'The lengths in the signature data fit each other and the quote.'),
  'tdx.certification-data': may('parse', 'The quote holds a QE report and, in it, a chain of certificates.'),
  'vtpm.trailing-bytes': may('vtpm', 'Nothing follows the statement.'),
  'event-log.form': may('vtpm', 'The log is whole, and nothing but padding follows its last event.'),
  'event-log.banks': may('vtpm', 'The log has the bank that is asked for, in every event.'),
  'event-log.algorithms': may('vtpm', 'Each event lists the algorithms of the header, each once.'),
  'event-log.registers': may('vtpm', 'Events extend registers that exist.'),
} as const satisfies Record<string, CheckRow>;

const BINDING_CHECKS = {
  'binding.report-data': must('binding', 'REPORT_DATA binds the nonce and these claims.'),
  'binding.nonce': may('binding', 'The nonce is the one that this verifier chose: the evidence is fresh.'),
  'binding.platform': must('binding', 'The claims name the platform that the root proves.'),
  'binding.host-data': may(
    'binding',
    'HOST_DATA or MRCONFIGID, when set, is the digest of the manifest in the claims.',
  ),
  'binding.manifest': may('binding', 'The claims hold the manifest that was agreed to.'),
  'binding.policy': may('binding', 'The policy is the one that the manifest pins.'),
  'binding.age': may('binding', 'The nonce is not older than the policy allows.'),
  'binding.parts': may('binding', 'Every part of the evidence is of one boot of one enclave.'),
} as const satisfies Record<string, CheckRow>;

const LAUNCH_CHECKS = {
  'launch.log': must('launch', 'The evidence lists what was launched, in a form the platform can have.'),
  'launch.measurement': must('launch', 'The measurement recomputed from the list is the one in the report.'),
  'launch.reference': must('launch', 'Reference values for this kind of launch are there.'),
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
} as const satisfies Record<string, CheckRow>;

/** The build that the claims name, and what else the evidence may hold. */
const PART_CHECKS = {
  'launch.eos-version': must('launch', 'The claims name the EOS version of the reference values.'),
  'vtpm.quote': may('vtpm', 'The evidence has a vTPM quote.'),
  'dice.chain': may('dice', 'The evidence has a DICE chain.'),
} as const satisfies Record<string, CheckRow>;

export const CHECKS = {
  ...BUNDLE_CHECKS,
  ...FORM_CHECKS,
  ...REPORT_CHECKS,
  ...SNP_CHECKS,
  ...TDX_CHECKS,
  ...BINDING_CHECKS,
  ...LAUNCH_CHECKS,
  ...PART_CHECKS,
  ...TPM_CHECKS,
  ...DICE_CHECKS,
};

export type CheckName = keyof typeof CHECKS;

export function isCheckName(text: unknown): text is CheckName {
  return typeof text === 'string' && Object.hasOwn(CHECKS, text);
}

/** All names, in table order. */
export const CHECK_NAMES = Object.keys(CHECKS) as readonly CheckName[];

const names = (...groups: readonly object[]): readonly CheckName[] => {
  const wanted = new Set(groups.flatMap((group) => Object.keys(group)));
  return CHECK_NAMES.filter((name) => wanted.has(name));
};

/** What one statement alone is asked. */
export const SCOPES = {
  snp: names(REPORT_CHECKS, SNP_CHECKS),
  tdx: names(REPORT_CHECKS, TDX_CHECKS),
  tpm: names(TPM_CHECKS),
  dice: names(DICE_CHECKS),
} as const satisfies Record<string, readonly CheckName[]>;

export interface BundleParts {
  readonly report: 'snp' | 'tdx';
  readonly tpm: boolean;
  readonly dice: boolean;
}

/** What a whole bundle is asked, from the parts that it has. */
export function bundleScope(parts: BundleParts): readonly CheckName[] {
  return names(
    BUNDLE_CHECKS,
    REPORT_CHECKS,
    parts.report === 'snp' ? { ...SNP_CHECKS, ...LAUNCH_CHECKS } : TDX_CHECKS,
    BINDING_CHECKS,
    PART_CHECKS,
    parts.tpm ? TPM_CHECKS : {},
    parts.dice ? DICE_CHECKS : {},
  );
}
