import { type EventObject, fromCallback, type NonReducibleUnknown } from 'xstate';
import { CocosError } from '../errors.ts';

/**
 * Effects are the only things a machine does to the world. A machine names them and gives their input; the
 * process that runs the machine provides them; a mirror runs the same machine with inert ones. An effect
 * reports with an event of the machine's own union, its failure too, so that the journal of accepted events is
 * complete. One that throws all the same ends its machine, which is for the parent's supervision.
 */

/** Stands for an effect until the process provides the real one; starting it is a fault of the program. */
export function unprovided<TInput extends NonReducibleUnknown>(name: string) {
  return fromCallback<EventObject, TInput>(() => {
    throw new CocosError('ACTOR_NOT_PROVIDED', `The effect ${name} was not provided.`);
  });
}

/** An effect that does nothing: what every effect is in a mirror and in the models. */
export function inert<TInput extends NonReducibleUnknown>() {
  return fromCallback<EventObject, TInput>(() => undefined);
}

/** Input of the clock effect: it sends `deadline.reached` when this time of the authority's clock has come. */
export interface ClockInput {
  /** Milliseconds of the authority's clock; null never comes. */
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
