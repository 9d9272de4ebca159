import { CocosError } from '../../errors.ts';
import { causeOf, publicCause } from '../../machines/public-cause.ts';

/**
 * An error for a peer without a session. The relay of the host reads it, so it carries the code and its text. Inside a
 * session, the participant gets the complete error under its keys.
 */
export function hostError(thrown: unknown): CocosError {
  return CocosError.fromJson(causeOf(publicCause(CocosError.from(thrown))));
}
