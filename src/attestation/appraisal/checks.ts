import { DICE_CHECKS } from '../dice/checks.ts';
import { SNP_CHECKS } from '../snp/checks.ts';
import { TDX_CHECKS } from '../tdx/checks.ts';
import { TPM_CHECKS } from '../tpm/checks.ts';
import { type CheckRow, may, must } from './check-row.ts';

/**
 * Every check of the appraisal. A verdict lists all checks of its scope. A check that could not be made is listed as
 * `not-checked`, with the reason.
 */

export type { CheckStep } from './check-row.ts';

const BUNDLE_CHECKS = {
  'evidence.parse': must('parse', 'The bundle is deterministic CBOR of the documented format.'),
  'claims.parse': must('parse', 'The claims are deterministic CBOR of the documented format.'),
} as const satisfies Record<string, CheckRow>;

/** Of any report that a platform key signs. */
const REPORT_CHECKS = {
  'report.parse': must('parse', 'The report has a known version and layout; reserved fields are zero.'),
  'certificates.parse': must('parse', 'Every certificate and revocation list is strict DER.'),

  'chain.leaf': must('chain', 'A certificate for the kind of signing key in the report is present.'),
  'chain.intermediate': must('chain', 'The leaf is signed by the intermediate of its key class.'),
  'chain.root-signature': must('chain', 'The intermediate and the root are signed by the root.'),
  'chain.root': must('chain', "The root is the vendor's pinned one, or one that the policy names."),
  'chain.profile': must('chain', 'Algorithms, CA flags and critical extensions conform to the profile.'),
  'chain.validity': must('chain', 'Every certificate is valid at the time of appraisal.'),
  'chain.revocation-list': may('chain', 'Revocation lists are present, correctly signed and current.'),
  'chain.revocation': may('chain', 'No certificate of the chain is on a revocation list.'),

  'report.signature': must('report', 'The key that the chain endorses signed the report.'),

  'policy.platform': must('policy', 'The policy accepts the platform.'),
  'policy.debug': must('policy', 'The host cannot read the guest through the debug interface.'),
  'policy.migration': must('policy', 'The guest cannot be moved to another machine.'),
} as const satisfies Record<string, CheckRow>;

/** Specific reasons why a statement could not be parsed; listed only if they apply. */
const FORM_CHECKS = {
  'report.size': may('parse', 'The report has exactly the size of its kind.'),
  'report.version': may('parse', 'The version is known.'),
  'report.algorithm': may('parse', 'The signature algorithm is that of the kind of report.'),
  'report.signature-form': may('parse', 'The signature is in its canonical encoding.'),
  'report.policy-bits': may('parse', 'The reserved bits of the guest policy have the specified values.'),
  'report.vmpl': may('parse', 'The privilege level exists.'),
  'report.key-info': may('parse', 'The report names a known kind of signing key.'),
  'report.certificate-table': may('parse', 'The certificate table after the report is well-formed.'),
  'report.reserved': may('parse', 'Reserved fields are zero.'),
  'tdx.tee-type': may('parse', 'The quote is for a trust domain.'),
  'tdx.key-type': may('parse', 'The attestation key is an ECDSA P-256 key.'),
  'tdx.body-descriptor': may('parse', 'The body has the size of its type.'),
  'tdx.lengths': may(
    'parse',
    'The lengths in the signature data are consistent with each other and with the quote.',
  ),
  'tdx.certification-data': may('parse', 'The quote contains a QE report with a certificate chain.'),
  'vtpm.trailing-bytes': may('vtpm', 'Nothing follows the statement.'),
  'event-log.form': may('vtpm', 'The log is complete, and only padding follows its last event.'),
  'event-log.banks': may('vtpm', 'Every event of the log has a digest for the requested bank.'),
  'event-log.algorithms': may('vtpm', 'Each event lists each algorithm of the header once.'),
  'event-log.order': may('vtpm', 'The events are in the order that firmware keeps.'),
  'event-log.registers': may('vtpm', 'All events extend existing registers.'),
} as const satisfies Record<string, CheckRow>;

const BINDING_CHECKS = {
  'binding.report-data': must('binding', 'REPORT_DATA binds the nonce and these claims.'),
  'binding.nonce': may('binding', 'The nonce is the one that this verifier chose: the evidence is fresh.'),
  'binding.platform': must('binding', 'The claims name the platform that the root certificate proves.'),
  'binding.host-data': may(
    'binding',
    'HOST_DATA or MRCONFIGID, when set, is the digest of the manifest in the claims.',
  ),
  'binding.manifest': may('binding', 'The claims contain the agreed manifest.'),
  'binding.policy': may('binding', 'The policy is the one that the manifest pins.'),
  'binding.age': may('binding', 'The nonce is not older than the policy allows.'),
  'binding.parts': may('binding', 'All parts of the evidence come from the same boot of the same enclave.'),
} as const satisfies Record<string, CheckRow>;

const LAUNCH_CHECKS = {
  'launch.log': must('launch', 'The evidence contains a launch log of a kind that the platform supports.'),
  'launch.measurement': must(
    'launch',
    'The measurement recomputed from the launch log equals the one in the report.',
  ),
  'launch.reference': must('launch', 'Reference values for this kind of launch are present.'),
  'launch.firmware': may('launch', 'The firmware matches the reference values.'),
  'launch.firmware-layout': may('launch', 'The measured memory sections match the reference values.'),
  'launch.kernel': may('launch', 'The kernel matches the reference values.'),
  'launch.initrd': may('launch', 'The initrd matches the reference values.'),
  'launch.command-line': may(
    'launch',
    'The command line, except its root hash, matches the reference values.',
  ),
  'launch.root-image': may('launch', 'The root image (dm-verity root hash) matches the reference values.'),
  'launch.vcpus': may('launch', 'The number of vCPUs is within the reference limit.'),
  'launch.vcpu-type': may('launch', 'The vCPU model is listed in the reference values.'),
  'launch.guest-features': may('launch', 'The SEV features of the guest match the reference values.'),
  'launch.runtime': may('launch', 'The runtime of a process enclave matches the reference values.'),
  'launch.agent': may('launch', 'The agent of a process enclave matches the reference values.'),
} as const satisfies Record<string, CheckRow>;

/** The build named in the claims, and the optional parts of the evidence. */
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

/** Checks of a single statement. */
export const SCOPES = {
  snp: names(REPORT_CHECKS, SNP_CHECKS),
  tdx: names(REPORT_CHECKS, TDX_CHECKS),
  tpm: names(TPM_CHECKS),
  paravisor: names(REPORT_CHECKS, SNP_CHECKS, TPM_CHECKS),
  dice: names(DICE_CHECKS),
} as const satisfies Record<string, readonly CheckName[]>;

export interface BundleParts {
  readonly report: 'snp' | 'tdx';
  readonly tpm: boolean;
  readonly dice: boolean;
}

/** Checks of a complete bundle, depending on its parts. */
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
