import { z } from 'zod';
import { type ErrorCode, isErrorCode } from '../errors.ts';

/** An error inside an event or a context. */
export const Cause = z.strictObject({
  code: z.custom<ErrorCode>((value) => typeof value === 'string' && isErrorCode(value), 'unknown error code'),
  message: z.string().max(4096),
  details: z.record(z.string(), z.unknown()).optional(),
});
export type Cause = z.infer<typeof Cause>;

/** A participant's public key as text, or `manager`. */
export const PublicKeyText = z.string().regex(/^[A-Za-z0-9:_-]{1,64}$/);

export const TransferId = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/);

/** Milliseconds of the authority's clock. */
export const Milliseconds = z.int().min(0);

export const DeadlineReached = z.strictObject({ type: z.literal('deadline.reached') });
