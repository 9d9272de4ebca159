import { type EventObject, fromCallback, type NonReducibleUnknown } from 'xstate';
import type { CocosError } from '../errors.ts';
import type { ClockInput } from '../machines/effect.ts';
import { systemClock } from './clock.ts';
import { fromNodeError } from './node-error.ts';

/** Builders for the effects that machines name and a process provides. */

/** Maximum delay of `setTimeout`; later deadlines re-arm the timer. */
const TIMER_LIMIT_MS = 2_147_483_647;

/**
 * An effect that runs an async function. It starts once the transition that invoked it is complete. Leaving the state
 * aborts its signal. Errors go to `onError` and never into the actor system.
 */
export function asyncEffect<TInput extends NonReducibleUnknown>(
  run: (input: TInput, signal: AbortSignal) => Promise<void>,
  onError: (error: CocosError, input: TInput) => void,
) {
  return fromCallback<EventObject, TInput>(({ input }) => {
    const abort = new AbortController();
    Promise.resolve()
      .then(() => (abort.signal.aborted ? undefined : run(input, abort.signal)))
      .catch((thrown: unknown) => {
        if (!abort.signal.aborted) onError(fromNodeError(thrown), input);
      });
    return () => abort.abort();
  });
}

/**
 * An effect that holds a resource for the duration of the state: `begin` acquires it and returns its release function.
 * An error of `begin` goes to `onError` once the transition that invoked the effect is complete.
 */
export function heldEffect<TInput extends NonReducibleUnknown>(
  begin: (input: TInput) => (() => void) | undefined,
  onError: (error: CocosError, input: TInput) => void,
) {
  return fromCallback<EventObject, TInput>(({ input }) => {
    try {
      return begin(input);
    } catch (thrown) {
      let isLeft = false;
      queueMicrotask(() => {
        if (!isLeft) onError(fromNodeError(thrown), input);
      });
      return () => {
        isLeft = true;
      };
    }
  });
}

/** The clock effect. It sends `deadline.reached` at the deadline, immediately if that has passed. */
export function clockEffect() {
  return fromCallback<EventObject, ClockInput>(({ input, sendBack }) => {
    const { deadlineMs } = input;
    if (deadlineMs === null) return undefined;
    let timer: NodeJS.Timeout;
    const arm = () => {
      const left = deadlineMs - systemClock.monotonic();
      timer = setTimeout(
        () => (left > TIMER_LIMIT_MS ? arm() : sendBack({ type: 'deadline.reached' })),
        Math.min(Math.max(left, 0), TIMER_LIMIT_MS),
      );
    };
    arm();
    return () => clearTimeout(timer);
  });
}
