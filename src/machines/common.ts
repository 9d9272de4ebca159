import { z } from 'zod';
import { type ErrorCode, isErrorCode } from '../errors.ts';

/** An identifier, a name, a key or a digest. */
export const Text = z.string().max(256);

const DETAILS_VALUES = 500;
const DETAILS_CHARACTERS = 16_384;

/** Whether a value of JSON is small, whatever its shape. It is walked no further than that. */
function isSmall(value: unknown): boolean {
  const open: unknown[] = [value];
  let values = 1;
  let characters = 0;
  while (open.length > 0) {
    const at = open.pop();
    if (typeof at === 'string') characters += at.length;
    if (Array.isArray(at) && at.length > DETAILS_VALUES) return false;
    if (typeof at === 'object' && at !== null) {
      // Not `Object.entries`, which would copy all of a large object.
      for (const name in at) {
        values += 1;
        characters += name.length;
        if (values > DETAILS_VALUES) return false;
        open.push(Reflect.get(at, name));
      }
    }
    if (characters > DETAILS_CHARACTERS) return false;
  }
  return true;
}

/** An error inside an event or a context. */
export const Cause = z.strictObject({
  code: z.custom<ErrorCode>((value) => typeof value === 'string' && isErrorCode(value), 'unknown error code'),
  message: z.string().max(4096),
  details: z.record(Text, z.unknown()).refine(isSmall, 'too many or too long details').optional(),
});
export type Cause = z.infer<typeof Cause>;

/** A participant's public key as text, or `manager`. */
export const PublicKeyText = z.string().regex(/^[A-Za-z0-9:_-]{1,64}$/);

export const TransferId = z.string().regex(/^[A-Za-z0-9_-]{1,64}$/);

/** Milliseconds of the authority's clock. */
export const Milliseconds = z.int().min(0);

export const DeadlineReached = z.strictObject({ type: z.literal('deadline.reached') });
