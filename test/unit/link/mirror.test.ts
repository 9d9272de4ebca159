import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createActor, type EventObject, fromCallback } from 'xstate';
import { attestationModel, transferModel } from '../../../models/agent-children.model.ts';
import { computationModel } from '../../../models/computation.model.ts';
import { Authority } from '../../../src/link/authority.ts';
import { MirrorSet } from '../../../src/link/mirror.ts';
import { decodeMsgpack, encodeMsgpack } from '../../../src/link/msgpack.ts';
import { agentMachine } from '../../../src/machines/agent.machine.ts';
import type { MirrorRecord } from '../../../src/machines/mirrored.ts';

/** An agent's actor system with inert effects, and its journal. */
function authority() {
  const journal: Uint8Array[] = [];
  const teller = new Authority((record) => journal.push(encodeMsgpack(record)));
  const idle = fromCallback<EventObject, object>(() => undefined);
  const [computation, attestation, transfer] = [computationModel('auto'), attestationModel, transferModel];
  const root = createActor(
    agentMachine.provide({
      actors: {
        ...{ measure: idle, listen: idle, link: idle, shutDown: idle },
        computation: computation.machine as never,
        attestation: attestation.machine as never,
        transfer: transfer.machine as never,
      },
    }),
    { inspect: teller.inspect },
  );
  root.start();
  root.send({ type: 'agent.measured' });
  root.send({ type: 'agent.listening' });
  root.send({ type: 'transfer.requested', address: 'transfer/t', input: transfer.input as never });
  root.send({ type: 'attestation.requested', address: 'attestation/a', input: attestation.input as never });
  return { root, teller, journal };
}

const ADDRESSES = ['computation', 'transfer/t', 'attestation/a'] as const;

const anyEvent = fc.oneof(
  ...[computationModel('auto'), transferModel, attestationModel].map((model, index) =>
    fc.record({ address: fc.constant(ADDRESSES[index] ?? ''), event: fc.constantFrom(...model.events) }),
  ),
);

function stateOf(snapshot: { readonly value: unknown; readonly context: unknown } | null | undefined) {
  return snapshot === null || snapshot === undefined
    ? null
    : { value: snapshot.value, context: snapshot.context };
}

describe('the mirror law', () => {
  it('holds: a mirror that applied the journal equals its authority, also through snapshots', () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 60 }), fc.nat(60), (events, cut) => {
        const { root, teller, journal } = authority();
        const mirrors = new MirrorSet(() => undefined);
        const late = new MirrorSet(() => undefined);
        events.forEach(({ address, event }, index) => {
          const actor = root.system.get(address);
          // An effect fails only in a state that runs it.
          if (!event.type.startsWith('xstate.') || actor?.getSnapshot().can(event)) actor?.send(event);
          if (index === cut) {
            // This one was away until now and gets the whole state instead of the journal.
            for (const record of teller.snapshot()) late.apply(decodeMsgpack(encodeMsgpack(record)));
            journal.push(encodeMsgpack(null));
          }
        });
        const mark = journal.findIndex((bytes) => decodeMsgpack(bytes) === null);
        journal.forEach((bytes, index) => {
          const record = decodeMsgpack(bytes);
          if (record === null) return;
          mirrors.apply(record);
          if (mark !== -1 && index > mark) late.apply(record);
        });
        for (const address of ADDRESSES) {
          const own = stateOf(root.system.get(address)?.getSnapshot());
          expect(stateOf(mirrors.get(address)), address).toEqual(own);
          if (mark !== -1) expect(stateOf(late.get(address)), address).toEqual(own);
        }
        root.stop();
      }),
      { numRuns: 200 },
    );
  });
});

describe('MirrorSet', () => {
  const protocol = expect.objectContaining({ code: 'LINK_PROTOCOL' });
  const started: MirrorRecord = { kind: 'started', address: 'computation', input: null };

  it.each<[string, unknown]>([
    ['no record', 'hello'],
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

  it('is not moved by an event that its chart does not allow', () => {
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

  it('keeps the others when a snapshot names a state that does not exist', () => {
    const mirrors = new MirrorSet(() => undefined);
    mirrors.apply(started);
    const snapshot = { status: 'active', value: 'nowhere', context: {}, children: {}, historyValue: {} };
    expect(() => mirrors.apply({ kind: 'state', address: 'transfer/t', snapshot })).toThrow(protocol);
    expect(mirrors.get('computation')?.value).toBe('awaitingManifest');
    expect(mirrors.get('transfer/t')).toBeNull();
  });
});
