import { setTimeout as sleep } from 'node:timers/promises';
import { CocosError } from '../../errors.ts';

/** Broken connections in a row, without progress in between, that a transfer survives. */
const FRUITLESS_ATTEMPTS = 8;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;

/** After these errors the same participant may resume the transfer. */
const BROKEN: ReadonlySet<string> = new Set(['AGENT_UNAVAILABLE', 'DEADLINE_EXCEEDED', 'STREAM_TRUNCATED']);

/** The result of an attempt on a path that does not carry bulk streams. */
export const NO_BULK = Symbol('no bulk');

export interface Attempt {
  /** Use the bulk stream; otherwise gRPC. */
  readonly isBulk: boolean;
  /** Reports where this attempt resumes. A position beyond the last one is progress. */
  resumesAt(segments: number): void;
}

export interface RetryOptions {
  /** Never use the bulk stream. */
  readonly grpcOnly: boolean;
  readonly onBroken: () => void;
  readonly pause?: (ms: number) => Promise<unknown>;
}

/**
 * Repeats a transfer over broken connections, with a growing pause, as long as it makes progress. Changes to gRPC where
 * the path does not carry a bulk stream, until the next break: the path may be another one then.
 *
 * @throws CocosError of the last attempt
 */
export async function retryTransfer<T>(
  { grpcOnly, onBroken, pause = sleep }: RetryOptions,
  attempt: (attempt: Attempt) => Promise<T | typeof NO_BULK>,
): Promise<T> {
  let isBulk = !grpcOnly;
  let reached = -1;
  let fruitless = 0;
  const resumesAt = (segments: number) => {
    if (segments > reached) fruitless = 0;
    reached = segments;
  };
  for (;;) {
    try {
      const outcome = await attempt({ isBulk, resumesAt });
      if (outcome !== NO_BULK) return outcome;
      isBulk = false;
    } catch (thrown) {
      const error = CocosError.from(thrown);
      if (!BROKEN.has(error.code) || fruitless === FRUITLESS_ATTEMPTS) throw error;
      isBulk = !grpcOnly;
      onBroken();
      await pause(Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** fruitless));
      fruitless += 1;
    }
  }
}
