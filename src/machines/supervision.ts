import { z } from 'zod';
import { Milliseconds } from './common.ts';

/**
 * How a parent deals with a child whose machine has thrown. Children are independent: one that fails moves no other.
 * The policies lie beside the machines that spawn the children; what is decided here is a function of them alone.
 */
export interface RestartPolicy {
  /** Restarts within the window; the failure after the last of them is final. 0 for a child that is never restarted. */
  readonly limit: number;
  readonly windowMs: number;
  /** Delay before the first restart; it doubles with each further one up to the limit. */
  readonly firstDelayMs: number;
  readonly delayLimitMs: number;
  /** Part of the delay that chance may take off, from 0 to 1, so that children do not come back all at once. */
  readonly jitter: number;
  /**
   * What follows when the limit is reached: the child is `dropped` and forgotten, it is brought back once more to be
   * `failed` in order, or its parent `stops`.
   */
  readonly escalation: 'dropped' | 'failed' | 'stops';
}

/** A child has thrown. Chance comes with the event, so that the machine itself has none. */
export const ChildFailed = z.strictObject({
  type: z.literal('child.failed'),
  address: z.string(),
  reason: z.string(),
  atMs: Milliseconds,
  chance: z.number().min(0).max(1),
});
export type ChildFailed = z.infer<typeof ChildFailed>;

export type Decision =
  | { readonly kind: 'restart'; readonly delayMs: number }
  | { readonly kind: RestartPolicy['escalation'] };

/**
 * @param failures times in milliseconds of the child's earlier failures, oldest first.
 * @returns what to do about the one at `atMs`, and the failures that still count.
 */
export function superviseFailure(
  policy: RestartPolicy,
  failures: readonly number[],
  { atMs, chance }: Pick<ChildFailed, 'atMs' | 'chance'>,
): { readonly decision: Decision; readonly failures: readonly number[] } {
  const recent = [...failures.filter((at) => at > atMs - policy.windowMs), atMs];
  if (recent.length <= policy.limit) {
    const delayMs = Math.min(policy.firstDelayMs * 2 ** (recent.length - 1), policy.delayLimitMs);
    return {
      decision: { kind: 'restart', delayMs: Math.round(delayMs * (1 - policy.jitter * chance)) },
      failures: recent,
    };
  }
  // What fails again while it is brought to its end cannot be helped any more.
  const isLast = policy.escalation !== 'failed' || recent.length === policy.limit + 1;
  return { decision: { kind: isLast ? policy.escalation : 'dropped' }, failures: recent };
}
