import { describe, expect, it } from 'vitest';
import { TimeShare } from '../../../src/runtime/time-share.ts';

describe('the share of a peer in the time of a process', () => {
  it('asks for no pause while the peer takes at most a quarter', () => {
    const share = new TimeShare(0);
    for (let now = 40; now < 40_000; now += 40) expect(share.charge(10, now)).toBe(0);
  });

  it('asks a peer that takes all of the time to pause for three quarters of it', () => {
    const share = new TimeShare(0);
    let now = 0;
    let worked = 0;
    while (now < 100_000) {
      now += 10;
      worked += 10;
      now += share.charge(10, now);
    }
    expect(worked / now).toBeCloseTo(0.25, 2);
  });

  it('lets a peer that was idle take a tenth of a second at once, and no more', () => {
    const share = new TimeShare(0);
    expect(share.charge(100, 60_000)).toBe(0);
    expect(share.charge(1, 60_000)).toBe(4);
  });

  it('asks for no longer pause than a second, however long the process stood still', () => {
    const share = new TimeShare(0);
    expect(share.charge(3_600_000, 3_600_000)).toBe(1_000);
  });
});
