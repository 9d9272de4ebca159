import { type CheckRow, may, must } from '../appraisal/check-row.ts';

/** Checks of a DICE chain. */
export const DICE_CHECKS = {
  'dice.parse': must('dice', 'The chain consists of certificates of the Open Profile for DICE.'),
  'dice.profile': must('dice', 'Every certificate is self-consistent, and its key may sign the next one.'),
  'dice.root': must('dice', 'The first layer is signed by a root key that the policy or the report names.'),
  'dice.signatures': must('dice', 'Each certificate is signed by the key of the layer before it.'),
  'dice.identifiers': must(
    'dice',
    'Each issuer is the previous subject, and each identifier is that of its key.',
  ),
  'dice.validity': must('dice', 'Every certificate that has dates is valid at the time of appraisal.'),
  'dice.mode': must('dice', 'Every layer runs in a mode that the policy allows.'),
  'dice.code': may('dice', 'The code of each layer matches the reference values.'),
  'dice.configuration': may('dice', 'The configuration of each layer matches the reference values.'),
  'dice.authority': may('dice', 'The authority of each layer matches the reference values.'),
  'dice.leaf': may('dice', 'The last certificate is the one in the claims.'),
} as const satisfies Record<string, CheckRow>;
