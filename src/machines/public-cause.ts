import { z } from 'zod';
import { type CocosError, ERRORS, type ErrorCode, isErrorCode } from '../errors.ts';
import type { Cause } from './common.ts';

/**
 * Why something in the enclave failed, as the host may know it. Every member is from a closed set, so no byte of an
 * input, a result or a log can become part of it. A `CocosError` does not fit the type: it must pass `publicCause`.
 */

/** Limits of a run that an algorithm can exceed. */
export const RunLimit = z.enum(['time', 'memory', 'processes', 'disk']);
export type RunLimit = z.infer<typeof RunLimit>;

/** Exit code of a process. */
export const ExitCode = z.int().min(0).max(255);

const PublicDetails = z.strictObject({ limit: RunLimit.optional(), exitCode: ExitCode.optional() });

export const PublicCause = z.strictObject({
  code: z.custom<ErrorCode>((value) => typeof value === 'string' && isErrorCode(value), 'unknown error code'),
  details: PublicDetails.optional(),
});
export type PublicCause = z.infer<typeof PublicCause>;

/** What the host may know of an error: its code, and the details that are from a closed set. */
export function publicCause({ code, details }: CocosError): PublicCause {
  const shown: Record<string, unknown> = {};
  for (const [name, schema] of Object.entries(PublicDetails.shape)) {
    const value = schema.safeParse(details[name]);
    if (value.success && value.data !== undefined) shown[name] = value.data;
  }
  return Object.keys(shown).length === 0 ? { code } : { code, details: PublicDetails.parse(shown) };
}

/** The cause in the context of a machine. Its message is the text of the code. */
export function causeOf(cause: PublicCause): Cause {
  // An event that did not pass its schema must not bring text into a context either.
  const parsed = PublicCause.safeParse(cause);
  const { code, details } = parsed.success ? parsed.data : { code: 'INTERNAL' as const };
  const message: string = ERRORS[code].doc;
  return details === undefined ? { code, message } : { code, message, details };
}
