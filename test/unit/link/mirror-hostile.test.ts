import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CocosError } from '../../../src/errors.ts';
import { MirrorSet } from '../../../src/link/mirror/mirror.ts';
import { decodeMsgpack, encodeMsgpack } from '../../../src/link/wire/msgpack.ts';
import { ADDRESSES, AgentSystem, anyEvent, stateOf } from './agent-system.ts';
import { damaged, instead } from './damaged.ts';

describe('the mirrors of a hostile guest', () => {
  it('a context that the guards and actions of the chart cannot read is refused', () => {
    const mirrors = new MirrorSet(() => undefined);
    const context = { manifest: { consumers: [{ signing: 'me' }] }, delivered: null };
    const snapshot = { status: 'active', value: 'resultsReady', context };
    expect(() => mirrors.apply({ kind: 'state', address: 'computation', snapshot })).toThrow(
      expect.objectContaining({ code: 'LINK_PROTOCOL' }),
    );
    expect(mirrors.get('computation')).toBeNull();
  });

  it('throw only errors with a code, for any state and any following events', async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.on('unhandledRejection', note).on('uncaughtException', note);
    const seen = { refused: 0, taken: 0 };
    const attempt = (act: () => void) => {
      try {
        act();
        seen.taken += 1;
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(CocosError);
        seen.refused += 1;
      }
    };
    try {
      fc.assert(
        fc.property(
          fc.array(anyEvent, { maxLength: 30 }),
          fc.array(fc.nat(20), { minLength: 1, maxLength: 5 }),
          instead,
          fc.array(anyEvent, { maxLength: 10 }),
          (before, place, value, after) => {
            const system = new AgentSystem(() => undefined);
            system.start();
            for (const { address, event } of before) system.send(address, event);
            const mirrors = new MirrorSet(() => undefined);
            for (const record of system.authority.snapshot()) {
              if (record.kind !== 'state') throw new Error('not a snapshot');
              const snapshot = damaged(decodeMsgpack(encodeMsgpack(record.snapshot)), place, value);
              attempt(() => mirrors.apply({ ...record, snapshot }));
            }
            for (const { address, event } of after)
              attempt(() => mirrors.apply({ kind: 'event', address, event }));
            for (const address of ADDRESSES) stateOf(mirrors.get(address));
            system.stop();
          },
        ),
        { numRuns: 1000 },
      );
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(unhandled).toEqual([]);
      expect(Math.min(seen.refused, seen.taken)).toBeGreaterThan(500);
    } finally {
      process.off('unhandledRejection', note).off('uncaughtException', note);
    }
  });
});
