import { z } from 'zod';
import { MIRRORED, type MirroredKind } from './mirrored.ts';
import { ContextCause, causeOf } from './public-cause.ts';

/**
 * Contexts of the agent's machines as the host may see them: keys, names and digests of the manifest, numbers, values
 * from fixed lists, and of a cause its code and a message from a closed set.
 */

/** In the place of a member that does not fit. */
const FALLBACKS = [null, [], {}, 0];

/**
 * A context with its members that fit. A member that does not is empty, and the cause is then a defect of the agent.
 */
export function publicContext(
  kind: MirroredKind,
  context: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const shape: Readonly<Record<string, z.ZodType>> = {
    ...MIRRORED[kind].context.shape,
    cause: ContextCause.nullable(),
  };
  const shown: Record<string, unknown> = {};
  let isComplete = true;
  for (const [name, value] of Object.entries(context)) {
    const schema = shape[name];
    if (schema === undefined) isComplete = false;
    else if (z.safeParse(schema, value).success) shown[name] = value;
    else {
      isComplete = false;
      shown[name] = FALLBACKS.find((each) => z.safeParse(schema, each).success) ?? null;
    }
  }
  return isComplete ? shown : { ...shown, cause: causeOf({ code: 'INTERNAL' }) };
}
