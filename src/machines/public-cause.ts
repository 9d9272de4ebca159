import { z } from 'zod';
import { type CocosError, ERRORS, type ErrorCode, isErrorCode } from '../errors.ts';
import { type Cause, PublicKeyText } from './common.ts';

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

/** What a cause can say beside the text of its code. */
const MESSAGES = [
  'The algorithm ended with an exit code other than 0.',
  'The run did not end within the time limit of the manifest.',
  'The computation was stopped.',
  'The sender aborted the transfer.',
  'The sender did not reconnect within the time limit; open the transfer again.',
] as const;
type Message = (typeof MESSAGES)[number];

export const PublicCause = z.strictObject({
  code: z.custom<ErrorCode>((value) => typeof value === 'string' && isErrorCode(value), 'unknown error code'),
  details: PublicDetails.optional(),
});
export type PublicCause = z.infer<typeof PublicCause>;

/** A cause as `causeOf` makes it. */
export const ContextCause = z
  .strictObject({
    code: PublicCause.shape.code,
    message: z.string().max(1024),
    /** `by` is a key of the manifest, or the manager. */
    details: PublicDetails.extend({ by: PublicKeyText }).partial().optional(),
  })
  .refine(({ code, message }) => message === ERRORS[code].doc || MESSAGES.some((each) => each === message));

/** What the host may know of an error: its code, and the details that are from a closed set. */
export function publicCause({ code, details }: CocosError): PublicCause {
  const shown: Record<string, unknown> = {};
  for (const [name, schema] of Object.entries(PublicDetails.shape)) {
    const value = schema.safeParse(details[name]);
    if (value.success && value.data !== undefined) shown[name] = value.data;
  }
  return Object.keys(shown).length === 0 ? { code } : { code, details: PublicDetails.parse(shown) };
}

/** The cause in the context of a machine. Its message is the text of the code, or one of the messages above. */
export function causeOf(cause: PublicCause, said?: Message): Cause {
  // An event that did not pass its schema must not bring text into a context either.
  const parsed = PublicCause.safeParse(cause);
  const { code, details } = parsed.success ? parsed.data : { code: 'INTERNAL' as const };
  const message: string = said ?? ERRORS[code].doc;
  return details === undefined ? { code, message } : { code, message, details };
}
