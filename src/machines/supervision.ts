import { z } from 'zod';
import { Milliseconds } from './common.ts';

/**
 * How a parent treats a child whose machine threw. Children are independent: a failure affects no sibling. Each parent
 * declares its policies beside the machine that spawns the children; the decision is a pure function of them.
 */
export interface RestartPolicy {
  /** Restarts within the window. The next failure escalates. */
  readonly limit: number;
  readonly windowMs: number;
  /** Delay before the first restart; it doubles with each further one up to the limit. */
  readonly firstDelayMs: number;
  readonly delayLimitMs: number;
  /** Fraction of the delay, 0 to 1, that chance may subtract, so that children do not restart all at once. */
  readonly jitter: number;
  /** Beyond the limit, the child is `dropped`, or restored once more in order to enter its state `failed`. */
  readonly escalation: 'dropped' | 'failed';
}

/** A child threw. The event carries the random number, so that the machine stays deterministic. */
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
 * @param failures times of the child's earlier failures in milliseconds, oldest first
 * @returns the decision about the failure at `atMs`, and the failures that still count
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
  // A child that throws again on its way to `failed` is dropped.
  const isLast = policy.escalation !== 'failed' || recent.length === policy.limit + 1;
  return { decision: { kind: isLast ? policy.escalation : 'dropped' }, failures: recent };
}
