import { type EventObject, fromCallback, type NonReducibleUnknown } from 'xstate';
import { CocosError } from '../errors.ts';

/**
 * A machine acts on the world only through effects. It names them and defines their input; the process that runs the
 * machine provides them; a mirror runs the same machine with inert ones. An effect reports success and failure with
 * an event of the machine's own union, so that the journal of accepted events is complete. An effect that throws
 * nevertheless ends its machine, and the parent's supervision decides what follows.
 */

/** Placeholder for an effect until the process provides the real one. Starting it is a programming error. */
export function unprovided<TInput extends NonReducibleUnknown>(name: string) {
  return fromCallback<EventObject, TInput>(() => {
    throw new CocosError('ACTOR_NOT_PROVIDED', `The process does not provide the effect '${name}'.`);
  });
}

/** An effect that does nothing, for mirrors and models. */
export function inert<TInput extends NonReducibleUnknown>() {
  return fromCallback<EventObject, TInput>(() => undefined);
}

/** Input of the clock effect, which sends `deadline.reached` at this time of the authority's clock. */
export interface ClockInput {
  /** Milliseconds of the authority's clock; null for no deadline. */
  readonly deadlineMs: number | null;
}

/** Invokes the clock for the deadline in the context. */
export const clock = {
  src: 'clock',
  id: 'clock',
  input: ({ context }: { readonly context: { readonly deadlineMs: number | null } }): ClockInput => ({
    deadlineMs: context.deadlineMs,
  }),
} as const;
