import { type CheckRow, may, must } from '../appraisal/check-row.ts';

/** What is asked of a TPM quote and its event log. */
export const TPM_CHECKS = {
  'vtpm.parse': must('vtpm', 'The quote is a TPMS_ATTEST with nothing after it.'),
  'vtpm.magic': must('vtpm', 'A TPM made the statement (TPM_GENERATED).'),
  'vtpm.type': must('vtpm', 'The statement is a quote.'),
  'vtpm.key': must('vtpm', 'The attestation key is of a known kind.'),
  'vtpm.key-attributes': may('vtpm', 'The key signs only what its TPM made, and cannot leave it.'),
  'vtpm.key-binding': must(
    'vtpm',
    'The attestation key is the one in the claims, or has an endorsed certificate.',
  ),
  'vtpm.scheme': must('vtpm', 'Scheme and hash of the signature are those of the key, and strong.'),
  'vtpm.signature': must('vtpm', 'The attestation key signed the quote.'),
  'vtpm.qualifying-data': must('vtpm', 'The quote answers this challenge.'),
  'vtpm.bank': must('vtpm', 'The quoted PCRs are of a strong bank.'),
  'vtpm.selection': must('vtpm', 'Every PCR that is needed is quoted.'),
  'vtpm.pcr-digest': may('vtpm', 'The PCR values are those that were quoted.'),
  'vtpm.safe': may('vtpm', 'The clock of the TPM is safe, where the policy asks so.'),
  'vtpm.event-log': may('vtpm', 'The event log replays to the quoted PCRs.'),
  'vtpm.event-data': may(
    'vtpm',
    'The data of each event has its digest, where the specification defines it.',
  ),
  'vtpm.pcrs': may('vtpm', 'The PCRs have the reference values.'),
  'vtpm.reference-log': may('vtpm', 'The events are those of the reference log.'),
} as const satisfies Record<string, CheckRow>;
