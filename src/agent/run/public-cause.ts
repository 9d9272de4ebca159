import { type CocosError, ERRORS, type ErrorCode } from '../../errors.ts';
import type { Cause } from '../../machines/common.ts';

/** Codes whose messages the agent composes from fixed lists alone: signals, limits, kinds. */
const FIXED: ReadonlySet<ErrorCode> = new Set([
  'ALGORITHM_FAILED',
  'ALGORITHM_INVALID',
  'ALGORITHM_LIMIT',
  'SANDBOX_UNAVAILABLE',
]);

/**
 * The cause of a failed run as the host may see it. Other messages can quote what the algorithm or its provider
 * chose, such as the name of a file, so the code stands for them. Consumers find the message in the log.
 */
export function publicCause(error: CocosError): Cause {
  return FIXED.has(error.code) ? error.toJSON() : { code: error.code, message: ERRORS[error.code].doc };
}
