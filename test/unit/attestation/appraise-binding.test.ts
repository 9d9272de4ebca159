import { beforeAll, describe, expect, it } from 'vitest';
import type { AppraisalInput } from '../../../src/attestation/appraisal/appraisal.ts';
import { appraise } from '../../../src/attestation/appraisal/appraise.ts';
import { appraiseLaunch } from '../../../src/attestation/appraisal/appraise-launch.ts';
import { CheckList, type Verdict } from '../../../src/attestation/appraisal/verdict.ts';
import { type DevelopmentRoot, developmentRootDigest } from '../../../src/attestation/emulated/root.ts';
import { encodeClaims } from '../../../src/attestation/evidence/claims.ts';
import { decodeEvidence, encodeEvidence } from '../../../src/attestation/evidence/evidence.ts';
import type { ProcessLaunchLog } from '../../../src/attestation/evidence/launch-log.ts';
import { measureLaunch } from '../../../src/attestation/measure/launch.ts';
import { onlyBuild, parseReferenceValues } from '../../../src/attestation/policy/reference.ts';
import { attestationCrypto } from '../../../src/crypto/attestation-crypto.ts';
import {
  claims,
  MANIFEST,
  manifestText,
  NONCE,
  NOW,
  referenceJson,
  type SceneOptions,
  scene,
  testRoot,
  vmLog,
} from '../../fakes/emulated-host.ts';

let root: DevelopmentRoot;
beforeAll(async () => {
  root = await testRoot();
});

const mutableClaims = { ...claims, kemKeys: [...claims.kemKeys] };
const failuresOf = async (options: SceneOptions, change: Partial<AppraisalInput> = {}) =>
  appraise({ ...(await scene(options)), ...change }).failures;
const outcome = (verdict: Verdict, name: string) =>
  verdict.checks.find((check) => check.name === name)?.outcome;

describe('appraise: binding', () => {
  it('refuses another nonce', async () => {
    const nonce = Uint8Array.from(NONCE);
    nonce[31] = 0;
    expect(await failuresOf({}, { nonce })).toEqual(['binding.report-data']);
  });

  it('refuses claims that were swapped after the report was created', async () => {
    const otherClaims = encodeClaims({ ...mutableClaims, signingKey: new Uint8Array(32).fill(9) });
    expect(await failuresOf({ otherClaims })).toEqual(['binding.report-data']);
  });

  it('refuses a report with one bit changed after signing', async () => {
    expect(await failuresOf({ afterSigning: (r) => r.writeUInt8(r.readUInt8(0x90) ^ 1, 0x90) })).toEqual([
      'report.signature',
    ]);
    expect(await failuresOf({ afterSigning: (r) => r.writeUInt8(r.readUInt8(0x2a0) ^ 1, 0x2a0) })).toEqual([
      'report.signature',
    ]);
  });

  it('refuses another manifest than the agreed one, and a missing one', async () => {
    const expectedManifestDigest = `sha256:${'0'.repeat(64)}`;
    expect(await failuresOf({}, { expectedManifestDigest })).toEqual(['binding.manifest']);
    expect(await failuresOf({ claims: { ...mutableClaims, manifestDigest: null } })).toEqual([
      'binding.manifest',
    ]);
  });

  it('makes no claim about the manifest when none is expected', async () => {
    const verdict = appraise({ ...(await scene()), expectedManifestDigest: undefined });
    expect(outcome(verdict, 'binding.manifest')).toBe('not-checked');
    expect(verdict.outcome).toBe('accepted');
  });

  it('refuses HOST_DATA other than the manifest of the claims', async () => {
    const other = (r: Buffer) => r.fill(1, 0x0c0, 0x0e0);
    const same = (r: Buffer) => r.set(MANIFEST, 0x0c0);
    expect(await failuresOf({ beforeSigning: other })).toEqual(['binding.host-data']);
    expect(await failuresOf({ beforeSigning: same })).toEqual([]);
    const none = { ...mutableClaims, manifestDigest: null };
    expect(
      await failuresOf({ beforeSigning: same, claims: none }, { expectedManifestDigest: undefined }),
    ).toEqual(['binding.host-data']);
  });

  it('limits the age of the nonce if the policy says so', async () => {
    const policy = { maxAgeSeconds: 60 };
    expect(await failuresOf({ policy }, { nonceIssuedAt: NOW - 60_000 })).toEqual([]);
    expect(await failuresOf({ policy }, { nonceIssuedAt: NOW - 60_001 })).toEqual(['binding.age']);
    expect(await failuresOf({ policy }, { nonceIssuedAt: NOW + 1 })).toEqual(['binding.age']);
    expect(await failuresOf({ policy })).toEqual(['binding.age']);
  });
});

describe('appraise: launch', () => {
  const otherHash = vmLog.commandLine.replace('5'.repeat(64), 'e'.repeat(64));

  it.each([
    ['firmware', { firmware: { name: 'x', digest: 'e'.repeat(96) } }, ['launch.firmware']],
    [
      'memory layout',
      { firmware: { ...vmLog.firmware, layout: { hashesTable: 0x820c00, sections: [], apEip: 0xfffffff0 } } },
      ['launch.firmware-layout'],
    ],
    ['kernel', { kernel: 'e'.repeat(64) }, ['launch.kernel']],
    ['initrd', { initrd: 'e'.repeat(64) }, ['launch.initrd']],
    ['command line', { commandLine: `${vmLog.commandLine} init=/bin/sh` }, ['launch.command-line']],
    ['root image', { commandLine: otherHash }, ['launch.root-image']],
    [
      'second root hash',
      { commandLine: `${vmLog.commandLine} cocos.roothash=${'e'.repeat(64)}` },
      ['launch.command-line', 'launch.root-image'],
    ],
    ['number of vCPUs', { vcpus: 9 }, ['launch.vcpus']],
    ['vCPU type', { vcpuType: 'EPYC-Milan' }, ['launch.vcpu-type']],
    ['SEV features', { guestFeatures: 0x3 }, ['launch.guest-features']],
  ])('names a changed %s', async (_, change, failures) => {
    expect(await failuresOf({ log: { ...vmLog, ...change } })).toEqual(failures);
  });

  it('refuses a log that hides the launched software', async () => {
    const input = await scene({ log: { ...vmLog, kernel: 'e'.repeat(64) } });
    const evidence = encodeEvidence({ ...input.bundle, launchLog: vmLog });
    expect(appraise({ ...input, evidence }).failures).toEqual(['launch.measurement']);
  });

  it('refuses a log that cannot be measured', async () => {
    const input = await scene();
    const evidence = encodeEvidence({ ...input.bundle, launchLog: { ...vmLog, vcpuType: 'Nehalem' } });
    expect(appraise({ ...input, evidence }).failures).toEqual(['launch.measurement']);
  });

  it('refuses evidence without a log', async () => {
    expect(await failuresOf({ log: null })).toEqual(['launch.log']);
  });

  it('refuses another EOS version than the reference values describe', async () => {
    expect(await failuresOf({ claims: { ...mutableClaims, eosVersion: 'eos-0' } })).toEqual([
      'launch.eos-version',
    ]);
  });

  it('refuses a kind of launch that has no reference values', async () => {
    expect(await failuresOf({ reference: { vm: undefined } })).toEqual(['launch.reference']);
  });

  const processLog: ProcessLaunchLog = {
    kind: 'process',
    runtime: referenceJson.process.runtime,
    agent: referenceJson.process.agent,
    commandLine: '--mode process',
  };

  it('accepts a process on the emulated platform and names its changed parts', async () => {
    expect(await failuresOf({ log: processLog })).toEqual([]);
    expect(await failuresOf({ log: { ...processLog, agent: 'e'.repeat(64) } })).toEqual(['launch.agent']);
    expect(await failuresOf({ log: { ...processLog, runtime: 'e'.repeat(64) } })).toEqual(['launch.runtime']);
    const reference = { process: { ...referenceJson.process, commandLine: '--mode other' } };
    expect(await failuresOf({ log: processLog, reference })).toEqual(['launch.command-line']);
  });
});

describe('appraiseLaunch', () => {
  it('refuses a process on hardware, whatever its measurement is', () => {
    const log = { kind: 'process', ...referenceJson.process, commandLine: '' } as const;
    const checks = new CheckList();
    const measurement = measureLaunch(log, attestationCrypto);
    const build = onlyBuild(parseReferenceValues(referenceJson));
    appraiseLaunch(log, measurement, build, false, attestationCrypto, checks);
    const { checks: list } = checks.finish();
    expect(list.filter((check) => check.outcome === 'failed').map((check) => check.name)).toEqual([
      'launch.log',
    ]);
    expect(checks.passed('launch.measurement')).toBe(false);
  });
});

describe('appraise: hostile bytes', () => {
  it('rejects data that is not a bundle, by name', async () => {
    const input = await scene();
    const samples = [
      new Uint8Array(),
      Uint8Array.of(0xff),
      new Uint8Array(2 * 1024 * 1024),
      new Uint8Array(60_000).fill(0x81),
    ];
    for (const evidence of samples) {
      expect(appraise({ ...input, evidence })).toMatchObject({
        outcome: 'rejected',
        failures: ['evidence.parse'],
      });
    }
    for (let length = 0; length < input.evidence.length; length += 97) {
      const evidence = input.evidence.subarray(0, length);
      expect(appraise({ ...input, evidence }).failures).toEqual(['evidence.parse']);
    }
  });

  it('names claims, report and certificates that cannot be parsed', async () => {
    expect(await failuresOf({ otherClaims: Uint8Array.of(0xa0) })).toContain('claims.parse');
    expect(await failuresOf({ certificates: (leaf) => [leaf, Uint8Array.of(1, 2, 3)] })).toContain(
      'certificates.parse',
    );
  });

  it('never throws and never accepts a significant change, for thousands of mutated bundles', async () => {
    const input = await scene();
    // A fixed linear congruential generator: failures repeat.
    let seed = 12345;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    let rejected = 0;
    for (let round = 0; round < 3000; round += 1) {
      const evidence = Uint8Array.from(input.evidence);
      const changes = 1 + random(4);
      for (let change = 0; change < changes; change += 1) {
        const at = random(evidence.length);
        evidence[at] = (evidence[at] ?? 0) ^ (1 + random(255));
      }
      const cut = random(8) === 0 ? evidence.subarray(0, random(evidence.length)) : evidence;
      // Several changes of one byte may undo each other.
      if (Buffer.compare(cut, input.evidence) === 0) continue;
      const verdict = appraise({ ...input, evidence: cut });
      if (verdict.outcome === 'accepted') {
        // The name of the firmware is an unmeasured label: only there a change is accepted.
        const mutated = decodeEvidence(cut);
        expect({ ...mutated, launchLog: { ...mutated.launchLog, firmware: null } }, `round ${round}`).toEqual(
          {
            ...input.bundle,
            launchLog: { ...vmLog, firmware: null },
          },
        );
        continue;
      }
      rejected += 1;
      expect(verdict.failures.length, `round ${round}`).toBeGreaterThan(0);
    }
    expect(rejected).toBeGreaterThan(2900);
  });

  it('uses a fixture whose policy names the digest of its root', async () => {
    const input = await scene();
    expect(input.policy.emulatedRoot).toBe(developmentRootDigest(root));
    expect(input.expectedManifestDigest).toBe(manifestText);
  });
});
