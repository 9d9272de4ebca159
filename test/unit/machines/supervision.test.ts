import { describe, expect, it } from 'vitest';
import { AGENT_CHILDREN } from '../../../src/machines/agent.machine.ts';
import { MANAGER_CHILDREN, policyOf } from '../../../src/machines/manager.machine.ts';
import { type RestartPolicy, superviseFailure } from '../../../src/machines/supervision.ts';

const policy: RestartPolicy = {
  ...{ limit: 3, windowMs: 1_000, firstDelayMs: 100, delayLimitMs: 300, jitter: 0.5, escalation: 'failed' },
};

/** What is decided about failures at these times, without any chance. */
function decisions(times: readonly number[], chance = 0, by: RestartPolicy = policy) {
  let failures: readonly number[] = [];
  return times.map((atMs) => {
    const { decision, failures: left } = superviseFailure(by, failures, { atMs, chance });
    failures = left;
    return decision.kind === 'restart' ? decision.delayMs : decision.kind;
  });
}

describe('a restart policy', () => {
  it('doubles the delay up to its limit, then escalates, and then gives the child up', () => {
    expect(decisions([0, 1, 2, 3, 4])).toEqual([100, 200, 300, 'failed', 'dropped']);
  });

  it('forgets failures that lie before its window', () => {
    expect(decisions([0, 1, 2, 1_002, 1_003, 2_100])).toEqual([100, 200, 300, 100, 200, 100]);
  });

  it('takes off as much of the delay as chance says, and no more than its jitter', () => {
    expect(decisions([0], 1)).toEqual([50]);
    expect(decisions([0], 0.5)).toEqual([75]);
  });

  it('restarts an enclave and the stream to the service, and nothing of the agent', () => {
    expect(policyOf('enclave/7f3a')).toBe(MANAGER_CHILDREN.enclave);
    expect(policyOf('service')).toBe(MANAGER_CHILDREN.service);
    expect(decisions([0], 0, AGENT_CHILDREN.computation)).toEqual(['stops']);
    expect(decisions([0], 0, AGENT_CHILDREN.other)).toEqual(['dropped']);
  });
});
