import { describe, expect, it } from 'vitest';
import { MirrorSet } from '../../../src/link/mirror/mirror.ts';
import { heldHeap } from '../../heap.ts';

/** A guest may claim any state and send any event; what its mirrors cost the manager is bounded all the same. */

const digest = `sha256:${'0'.repeat(64)}`;
const input = {
  ...{ transferId: 't', input: 'data', participant: `ed25519:${'B'.repeat(43)}` },
  ...{ size: 2 ** 30, digest, atMs: 1 },
};
const transfer = { ...input, waitMs: 1, segments: 0, received: 0, deadlineMs: null, cause: null };
const computation = {
  ...{ manifest: null, manifestDigest: null, inputs: {}, runDeadlineMs: null, run: null, result: null },
  ...{ delivered: [], cause: null },
};
const attestation = {
  ...{ sessionId: 'a', nonce: '0'.repeat(64), limits: { collectMs: 1, evidenceMs: 1, idleMs: 1 }, atMs: 1 },
  ...{ evidenceDigest: null, participant: null, role: null, deadlineMs: 2, cause: null },
};
const state = (address: string, value: string, context: object) => ({
  ...{ kind: 'state', address, snapshot: { status: 'active', value, context } },
});
/** About a megabyte in a frame, and some seventy in memory. */
const maps = () => Array.from({ length: 1_000_000 }, () => ({}));
const text = 'x'.repeat(1_000_000);
const cause = { code: 'INTERNAL', message: 'm', details: { maps: maps() } };

describe('the mirrors of one agent', () => {
  it.each([
    ['computation', 'awaitingManifest', computation],
    ['attestation/a', 'challenged', attestation],
    ['transfer/t', 'opening', transfer],
  ])('a context of the chart of %s is accepted', (address, value, context) => {
    const mirrors = new MirrorSet(() => undefined);
    mirrors.apply(state(address, value, context));
    expect(mirrors.get(address)?.context).toEqual(context);
  });

  it.each([
    ['an unknown member', 'computation', 'awaitingManifest', { ...computation, extra: 1 }],
    ['a missing member', 'computation', 'awaitingManifest', { manifest: null }],
    ['maps in place of names', 'computation', 'resultsReady', { ...computation, delivered: maps() }],
    ['details without a bound', 'computation', 'failed', { ...computation, cause }],
    ['a long text', 'transfer/t', 'opening', { ...transfer, participant: text }],
    ['a long role', 'attestation/a', 'inSession', { ...attestation, role: text }],
    [
      'more inputs than a manifest has',
      'computation',
      'receiving',
      {
        ...computation,
        inputs: Object.fromEntries(
          Array.from({ length: 1_000 }, (_, index) => [`i${index}`, { status: 'expected', size: 0 }]),
        ),
      },
    ],
  ])('a claimed context with %s is refused, sent or stored', (_what, address, value, context) => {
    const mirrors = new MirrorSet(() => undefined);
    const refusal = expect.objectContaining({ code: 'LINK_PROTOCOL' });
    expect(() => mirrors.apply(state(address, value, context))).toThrow(refusal);
    expect(() => mirrors.restoreMirror(address, value, context)).toThrow(refusal);
    expect(mirrors.addresses()).toEqual([]);
  });

  it.each([
    ['a long text', { type: 'transfer.refused', cause: { code: 'INTERNAL', message: text } }],
    ['details without a bound', { type: 'transfer.refused', cause }],
  ])('an event with %s is refused', (_what, event) => {
    const mirrors = new MirrorSet(() => undefined);
    mirrors.apply(state('transfer/t', 'receiving', transfer));
    expect(() => mirrors.apply({ kind: 'event', address: 'transfer/t', event })).toThrow(
      expect.objectContaining({ code: 'LINK_PROTOCOL' }),
    );
  });

  it.each([
    [
      'computation',
      { type: 'run.exited', exitCode: 0, runtime: text, startedMs: 0, endedMs: 0 },
      'running',
      computation,
    ],
    [
      'attestation/a',
      { type: 'evidence.collected', evidenceDigest: text, atMs: 1 },
      'collecting',
      attestation,
    ],
    [
      'attestation/a',
      { type: 'session.opened', participant: text, role: 'r', atMs: 1 },
      'evidenced',
      attestation,
    ],
    [
      'attestation/a',
      { type: 'session.opened', participant: 'p', role: text, atMs: 1 },
      'evidenced',
      attestation,
    ],
    ['computation', { type: 'computation.stop', by: text }, 'running', computation],
  ])('an event of %s with a long text is refused', (address, event, value, context) => {
    const mirrors = new MirrorSet(() => undefined);
    mirrors.apply(state(address, value, context));
    expect(() => mirrors.apply({ kind: 'event', address, event })).toThrow(
      expect.objectContaining({ code: 'LINK_PROTOCOL' }),
    );
  });

  it('hold little memory after many frames of empty maps', () => {
    const mirrors = new MirrorSet(() => undefined);
    const before = heldHeap();
    const claim = (index: number) => {
      const record = state(`transfer/t${index}`, 'opening', { ...transfer, extra: maps() });
      expect(() => mirrors.apply(record)).toThrow();
    };
    for (let index = 0; index < 3; index++) claim(index);
    expect(heldHeap() - before).toBeLessThan(8 * 2 ** 20);
    expect(mirrors.addresses()).toEqual([]);
  });

  it('one actor more than their bytes allow is refused, and one that has ended makes room again', () => {
    const mirrors = new MirrorSet(() => undefined, '', { recordBytes: 100_000, bytes: 20_000 });
    const begin = (index: number) => mirrors.apply({ kind: 'started', address: `transfer/t${index}`, input });
    let count = 0;
    expect(() => {
      for (; count < 1_000; count++) begin(count);
    }).toThrow(expect.objectContaining({ code: 'LIMIT_EXCEEDED' }));
    expect(count).toBeGreaterThan(5);
    expect(mirrors.addresses()).toHaveLength(count);
    mirrors.apply({ kind: 'retired', address: 'transfer/t0' });
    begin(count);
    mirrors.clear();
    for (let index = 0; index < count; index++) begin(index);
  });

  it('an event that would take them over their bytes is refused and moves nothing', () => {
    // What the state takes, and next to nothing for its cause.
    const bytesOf = (bytes: number) => new MirrorSet(() => undefined, '', { recordBytes: 100_000, bytes });
    let bytes = 100;
    const fits = () => {
      try {
        bytesOf(bytes).apply(state('transfer/t', 'receiving', transfer));
        return true;
      } catch {
        return false;
      }
    };
    while (!fits()) bytes += 10;
    const mirrors = bytesOf(bytes);
    mirrors.apply(state('transfer/t', 'receiving', transfer));
    const event = { type: 'transfer.refused', cause: { code: 'INTERNAL' } };
    expect(() => mirrors.apply({ kind: 'event', address: 'transfer/t', event })).toThrow(
      expect.objectContaining({ code: 'LIMIT_EXCEEDED' }),
    );
    expect(mirrors.get('transfer/t')?.value).toBe('receiving');
  });

  it('a single state over the bytes of a record is refused', () => {
    const mirrors = new MirrorSet(() => undefined, '', { recordBytes: 500, bytes: 100_000 });
    expect(() => mirrors.apply(state('transfer/t', 'receiving', transfer))).toThrow(
      expect.objectContaining({ code: 'LIMIT_EXCEEDED' }),
    );
  });
});
