import { describe, expect, it } from 'vitest';
import { createActor } from 'xstate';
import { agentModel } from '../../../models/root.model.ts';
import { MANAGER_CHILDREN, policyOf } from '../../../src/machines/manager.machine.ts';
import { type RestartPolicy, superviseFailure } from '../../../src/machines/supervision.ts';

const policy: RestartPolicy = {
  ...{ limit: 3, windowMs: 1_000, firstDelayMs: 100, delayLimitMs: 300, jitter: 0.5, escalation: 'failed' },
};

/** The decisions about failures at these times. */
function decisions(times: readonly number[], chance = 0) {
  let failures: readonly number[] = [];
  return times.map((atMs) => {
    const { decision, failures: left } = superviseFailure(policy, failures, { atMs, chance });
    failures = left;
    return decision.kind === 'restart' ? decision.delayMs : decision.kind;
  });
}

describe('a restart policy', () => {
  it('doubles the delay up to its limit, then escalates, then drops the child', () => {
    expect(decisions([0, 1, 2, 3, 4])).toEqual([100, 200, 300, 'failed', 'dropped']);
  });

  it('ignores failures before its window', () => {
    expect(decisions([0, 1, 2, 1_002, 1_003, 2_100])).toEqual([100, 200, 300, 100, 200, 100]);
  });

  it('shortens the delay by at most its jitter', () => {
    expect(decisions([0], 1)).toEqual([50]);
    expect(decisions([0], 0.5)).toEqual([75]);
  });

  it('exists for an enclave and for the stream to the service', () => {
    expect(policyOf('enclave/7f3a')).toBe(MANAGER_CHILDREN.enclave);
    expect(policyOf('service')).toBe(MANAGER_CHILDREN.service);
  });
});

describe('the agent', () => {
  const afterFailureOf = (address: string) => {
    const agent = createActor(agentModel.machine).start();
    agent.send({ type: 'agent.measured' });
    agent.send({ type: 'agent.listening' });
    agent.send({ type: 'child.failed', address });
    return agent.getSnapshot();
  };

  it('shuts down when its computation throws', () => {
    const { value, context } = afterFailureOf('computation');
    expect(value).toBe('shuttingDown');
    expect(context.cause).toMatchObject({ code: 'INTERNAL' });
  });

  it('continues when a transfer throws', () => {
    expect(afterFailureOf('transfer/t').value).toEqual({ serving: 'unlinked' });
  });
});
