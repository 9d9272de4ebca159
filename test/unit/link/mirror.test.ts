import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MirrorSet } from '../../../src/link/mirror/mirror.ts';
import { decodeMsgpack, encodeMsgpack } from '../../../src/link/wire/msgpack.ts';
import type { MirrorRecord } from '../../../src/machines/mirrored.ts';
import { ADDRESSES, AgentSystem, anyEvent, stateOf } from './agent-system.ts';

const overTheWire = (record: unknown) => decodeMsgpack(encodeMsgpack(record));

describe('the mirror law', () => {
  it('holds: a mirror that applied the journal or a snapshot equals its authority', () => {
    const tally = new Map<string, number>();
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 60 }), fc.nat(60), (events, cut) => {
        const mirrors = new MirrorSet(() => undefined);
        const late = new MirrorSet(() => undefined);
        let isLate = true;
        const system = new AgentSystem((record) => {
          mirrors.apply(overTheWire(record));
          if (!isLate) late.apply(overTheWire(record));
        });
        system.start();
        events.forEach(({ address, event }, index) => {
          if (index === cut) {
            // This mirror was disconnected until now and gets the full state instead of the journal.
            for (const record of system.authority.snapshot()) late.apply(overTheWire(record));
            isLate = false;
          }
          system.send(address, event);
        });
        for (const address of ADDRESSES) {
          const own = stateOf(system.get(address));
          expect(stateOf(mirrors.get(address)), address).toEqual(own);
          if (!isLate) expect(stateOf(late.get(address)), address).toEqual(own);
          const state = JSON.stringify(own?.value);
          tally.set(state, (tally.get(state) ?? 0) + 1);
        }
        system.stop();
      }),
      { numRuns: 200 },
    );
    // Sequences that never leave the first states would prove nothing.
    expect(tally.size).toBeGreaterThan(8);
  });

  it('holds when actors are retired and addresses are reused', () => {
    const mirrors = new MirrorSet(() => undefined);
    const system = new AgentSystem((record) => mirrors.apply(overTheWire(record)));
    system.start();
    system.send('transfer/t', { type: 'transfer.attached' });
    system.retire('transfer/t');
    expect(mirrors.addresses()).toEqual(['computation', 'attestation/a']);
    system.send('transfer/t', { type: 'transfer.abort' });
    expect(mirrors.get('transfer/t')).toBeNull();
    system.request('transfer/t');
    expect(stateOf(mirrors.get('transfer/t'))).toEqual(stateOf(system.get('transfer/t')));
    system.stop();
  });
});

describe('MirrorSet', () => {
  const protocol = expect.objectContaining({ code: 'LINK_PROTOCOL' });
  const started: MirrorRecord = { kind: 'started', address: 'computation', input: null };

  it.each<[string, unknown]>([
    ['a value that is not a record', 'hello'],
    ['an unknown kind', { kind: 'wish', address: 'computation' }],
    ['an unknown address', { kind: 'started', address: 'enclave/1', input: null }],
    ['an address that leads elsewhere', { kind: 'started', address: 'transfer/../x', input: null }],
    ['an event of nobody', { kind: 'event', address: 'transfer/none', event: { type: 'transfer.attached' } }],
    ['an input that does not fit', { kind: 'started', address: 'transfer/t', input: { size: -1 } }],
    ['an unknown event', { kind: 'event', address: 'computation', event: { type: 'host.owned' } }],
    [
      'an event with more than its fields',
      { kind: 'event', address: 'computation', event: { type: 'run.failed', extra: 1 } },
    ],
    [
      'a completion that no effect sends',
      { kind: 'event', address: 'computation', event: { type: 'xstate.done.actor.runAlgorithm' } },
    ],
    ['a snapshot that is none', { kind: 'state', address: 'computation', snapshot: { status: 'active' } }],
  ])('refuses %s', (_what, record) => {
    const mirrors = new MirrorSet(() => undefined);
    mirrors.apply(started);
    expect(() => mirrors.apply(record)).toThrow(protocol);
    expect(mirrors.get('computation')?.value).toBe('awaitingManifest');
  });

  it('ignores an event that its chart does not allow', () => {
    const moves: string[] = [];
    const mirrors = new MirrorSet(({ event }) => moves.push(event));
    mirrors.apply(started);
    mirrors.apply({
      kind: 'event',
      address: 'computation',
      event: { type: 'result.delivered', consumer: 'me' },
    });
    expect(mirrors.get('computation')?.value).toBe('awaitingManifest');
    expect(moves).toEqual(['started']);
  });

  it('keeps the other mirrors when a snapshot names an unknown state', () => {
    const mirrors = new MirrorSet(() => undefined);
    mirrors.apply(started);
    const snapshot = { status: 'active', value: 'nowhere', context: {}, children: {}, historyValue: {} };
    expect(() => mirrors.apply({ kind: 'state', address: 'transfer/t', snapshot })).toThrow(protocol);
    expect(mirrors.get('computation')?.value).toBe('awaitingManifest');
    expect(mirrors.get('transfer/t')).toBeNull();
  });
});
