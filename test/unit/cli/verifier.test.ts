import { beforeAll, describe, expect, it } from 'vitest';
import { NO_COLLATERAL } from '../../../src/attestation/collateral/collateral.ts';
import { encodeEvidence } from '../../../src/attestation/evidence/evidence.ts';
import { parsePolicy } from '../../../src/attestation/policy/policy.ts';
import type { TrustInputs } from '../../../src/cli/trust/trust.ts';
import { EnclaveVerifier } from '../../../src/cli/trust/verifier.ts';
import { CocosError } from '../../../src/errors.ts';
import { type Clock, systemClock } from '../../../src/runtime/clock.ts';
import { DAY, NOW, type SceneOptions, scene, testRoot } from '../../fakes/emulated-host.ts';
import { AT, createAmd, createReport } from '../../fakes/fake-amd.ts';

/** The verifier of an enclave, with a host whose certificates are valid from a day before NOW to a day after it. */

beforeAll(async () => {
  await testRoot();
});

/** Certificates that both clocks find valid. */
const LASTING: SceneOptions = { endorsement: { notAfter: NOW + 3_650 * DAY } };

interface Times {
  wall: number;
  monotonic: number;
}

/** An agent that answers every challenge, and the clock that the verifier uses. */
async function enclave(options: SceneOptions = {}, policyExpires: number | null = null) {
  const times: Times = { wall: NOW, monotonic: systemClock.monotonic() };
  const clock: Clock = { wall: () => times.wall, monotonic: () => times.monotonic };
  const { policy, reference } = await scene(options);
  const trust: TrustInputs = {
    policy,
    policyDigest: '',
    policyExpires,
    reference,
    sources: { policy: new Uint8Array(0), reference: new Uint8Array(0) },
    collateral: { certificates: [], revocationLists: [], tcbInfos: [], qeIdentities: [] },
    trace: undefined,
  };
  const agent = {
    challenges: 0,
    isDishonest: false,
    onChallenge: async (): Promise<void> => undefined,
    evidence: async (nonce: Uint8Array): Promise<Uint8Array> => {
      agent.challenges += 1;
      await agent.onChallenge();
      const answered = agent.isDishonest ? new Uint8Array(32) : nonce;
      return (await scene({ ...options, nonce: answered })).evidence;
    },
  };
  return { agent, times, verifier: new EnclaveVerifier(agent, trust, undefined, { clock }) };
}

async function failuresOf(verifier: EnclaveVerifier): Promise<unknown> {
  return verifier.verify().then(
    () => [],
    (thrown: unknown) => {
      const { code, details } = CocosError.from(thrown);
      return code === 'ATTEST_REJECTED' ? details['failures'] : code;
    },
  );
}

describe('EnclaveVerifier', () => {
  it('says where the revocation list is published that a rejection lacks, and how to store it', async () => {
    const amd = await createAmd('Milan');
    const { bundle, reference } = await scene();
    const trust: TrustInputs = {
      policy: parsePolicy({
        version: 1,
        platforms: ['snp'],
        snp: { trustedRoots: amd.trustedRoots, minimumTcb: { milan: {} } },
      }),
      policyDigest: '',
      policyExpires: null,
      reference,
      sources: { policy: new Uint8Array(0), reference: new Uint8Array(0) },
      collateral: NO_COLLATERAL,
      trace: undefined,
    };
    const evidence = encodeEvidence({ ...bundle, report: { kind: 'snp', ...createReport(amd) } });
    const clock: Clock = { wall: () => AT, monotonic: () => systemClock.monotonic() };
    const verifier = new EnclaveVerifier({ evidence: async () => evidence }, trust, undefined, { clock });
    const error = await verifier.verify().then(
      () => null,
      (thrown: unknown) => CocosError.from(thrown),
    );
    expect(error?.code).toBe('ATTEST_REJECTED');
    expect(error?.message).toContain('https://kdsintf.amd.com/vcek/v1/Milan/crl');
    expect(error?.message).toContain('cocos-cli attestation collateral import');
  });

  it('judges certificates by the wall clock', async () => {
    const valid = await enclave();
    expect(await failuresOf(valid.verifier)).toEqual([]);
    const expired = await enclave();
    expired.times.wall = NOW + 2 * DAY;
    expect(await failuresOf(expired.verifier)).toContain('chain.validity');
    // The other clock makes no difference.
    const old = await enclave();
    old.times.monotonic = NOW + 2 * DAY;
    expect(await failuresOf(old.verifier)).toEqual([]);
  });

  it('accepts nothing once the signed policy has expired, although it was current when it was read', async () => {
    const { verifier, times, agent } = await enclave({}, NOW + 1_000);
    expect(await failuresOf(verifier)).toEqual([]);
    times.wall = NOW + 1_000;
    expect(await failuresOf(verifier)).toBe('POLICY_INVALID');
    expect(agent.challenges).toBe(1);
  });

  it('measures the age of the nonce by the monotonic clock', async () => {
    const policy = { maxAgeSeconds: 60 };
    const set = await enclave({ policy });
    set.agent.onChallenge = async () => {
      set.times.wall -= DAY / 2;
      set.times.monotonic += 1_000;
    };
    expect(await failuresOf(set.verifier)).toEqual([]);
    const slow = await enclave({ policy });
    slow.agent.onChallenge = async () => {
      slow.times.monotonic += 61_000;
    };
    expect(await failuresOf(slow.verifier)).toEqual(['binding.age']);
  });

  it('challenges a trusted enclave again', async () => {
    const { agent, verifier } = await enclave(LASTING);
    const first = await verifier.verify();
    const second = await verifier.verify();
    expect(agent.challenges).toBe(2);
    expect(second.nonce).not.toEqual(first.nonce);
    agent.isDishonest = true;
    expect(await failuresOf(verifier)).toContain('binding.report-data');
  });

  it('refuses a second challenge while one is in progress, which does not disturb the first', async () => {
    const { agent, verifier } = await enclave(LASTING);
    const first = verifier.verify();
    expect(await failuresOf(verifier)).toBe('STATE_EVENT_ILLEGAL');
    expect((await first).verdict.outcome).toBe('accepted');
    expect(agent.challenges).toBe(1);
  });

  it('keeps an enclave rejected, with the failed checks', async () => {
    const { agent, verifier } = await enclave(LASTING);
    agent.isDishonest = true;
    const failures = await failuresOf(verifier);
    expect(failures).toContain('binding.report-data');
    agent.isDishonest = false;
    expect(await failuresOf(verifier)).toEqual(failures);
    expect(agent.challenges).toBe(1);
  });
});
