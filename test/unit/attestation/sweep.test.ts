import { describe, expect, it } from 'vitest';
import { flipBit } from '../../fakes/mutate.ts';
import { snpTargets, sweep, type Target, tdxTargets, tpmTargets } from '../../fakes/sweep.ts';
import {
  attestationKeyTargets,
  collateralTargets,
  eventLogTargets,
  oakTargets,
  pemTableTargets,
} from '../../fakes/sweep-more.ts';
import { hasVectors } from '../../vectors.ts';

/**
 * Single bits of real evidence, changed in turn. Here every seventh bit, so that each byte is reached and each place
 * in a byte; `scripts/sweep-attestation.ts` changes all of them.
 */
const STEP = 7;
/** Long parts are covered by fewer bits: still each place in a byte, since it is odd. */
const LONG_BYTES = 1500;
const LONG_STEP = 61;

describe.skipIf(!hasVectors).each([
  ['SNP', snpTargets],
  ['TDX', tdxTargets],
  ['TPM', tpmTargets],
  ['Attestation key', attestationKeyTargets],
  ['PEM table', pemTableTargets],
  ['Oak', oakTargets],
  ['Collateral', collateralTargets],
  ['Event log', eventLogTargets],
] as const)('%s evidence', (_, make) => {
  const targets: readonly Target[] = hasVectors ? make() : [];

  it('is accepted unchanged, in every part', () => {
    expect(targets.length).toBeGreaterThanOrEqual(1);
    for (const { name, bytes, accepts } of targets) expect(accepts(bytes), name).toBe(true);
  });

  it.each(targets.map((target) => [target.name, target] as const))(
    'is accepted with no changed bit: %s',
    (_name, target) => {
      expect(sweep(target, flipBit, target.bytes.length > LONG_BYTES ? LONG_STEP : STEP)).toEqual([]);
    },
  );
});
