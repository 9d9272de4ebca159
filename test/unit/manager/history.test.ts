import { describe, expect, it } from 'vitest';
import { Directory } from '../../../src/manager/control/directory.ts';
import { manifest } from './service/client-world.ts';

/** What is kept for watchers that come back, against a guest that fills it. */

const NOTHING_TO_STORE = Promise.resolve();
const digest = `sha256:${'0'.repeat(64)}`;
const input = {
  ...{ transferId: 't', input: 'data', participant: `ed25519:${'B'.repeat(43)}` },
  ...{ size: 2 ** 30, digest, atMs: 1 },
};
const started = { kind: 'started', address: 'transfer/t', input };

const directory = (limits: { items: number; bytes: number }) =>
  new Directory(
    0,
    { persistActor: () => NOTHING_TO_STORE, mirrorsOf: () => () => NOTHING_TO_STORE },
    { history: limits },
  );

describe('the history of the directory', () => {
  it('a guest that makes many transitions does not take those of another enclave', async () => {
    const kept = directory({ items: 100, bytes: 2 ** 20 });
    const quiet = kept.createMirrors('enclave/quiet');
    const loud = kept.createMirrors('enclave/loud');
    quiet.apply(started);
    await kept.settled();
    const at = kept.position;
    quiet.apply({ kind: 'event', address: 'transfer/t', event: { type: 'transfer.attached' } });
    for (let count = 0; count < 1_000; count++) loud.apply(started);
    await kept.settled();
    expect(kept.since('enclave/quiet', at)).toHaveLength(1);
    expect(kept.since('enclave/loud', at)).toBeNull();
    expect(kept.since('', at)).toBeNull();
    const recent = kept.position - 20;
    expect(kept.since('', recent)?.map(({ sequence }) => sequence)).toEqual(
      Array.from({ length: 20 }, (_, index) => recent + index + 1),
    );
  });

  it('large contexts count with their bytes', async () => {
    const kept = directory({ items: 10_000, bytes: 100_000 });
    const mirrors = kept.createMirrors('enclave/e');
    const cause = { code: 'INTERNAL', message: 'x'.repeat(4_000) };
    const context = { ...input, waitMs: 1, segments: 0, received: 0, deadlineMs: null, cause };
    const snapshot = { status: 'active', value: 'aborted', context };
    for (let count = 0; count < 100; count++)
      mirrors.apply({ kind: 'state', address: 'transfer/t', snapshot });
    await kept.settled();
    expect(kept.since('', kept.position - 50)).toBeNull();
    expect(kept.since('', kept.position - 5)).toHaveLength(5);
  });

  it('a manifest that many transitions share counts once', async () => {
    const kept = directory({ items: 10_000, bytes: 300_000 });
    const mirrors = kept.createMirrors('enclave/e');
    const accepted = {
      ...manifest('c1'),
      ...{ algorithm: { ...manifest('c1').algorithm, arguments: Array(20).fill('x'.repeat(4_000)) } },
    };
    mirrors.apply({ kind: 'started', address: 'computation', input: null });
    const apply = (event: object) => mirrors.apply({ kind: 'event', address: 'computation', event });
    apply({ type: 'manifest.accepted', manifest: accepted, digest, atMs: 1 });
    await kept.settled();
    const at = kept.position;
    for (let count = 0; count < 50; count++) {
      apply({ type: 'input.receiving', input: 'algorithm', transferId: 't' });
      apply({ type: 'input.released', input: 'algorithm' });
    }
    await kept.settled();
    expect(kept.since('', at)).toHaveLength(100);
  });

  it('a watcher learns of an enclave that was removed while it was away', async () => {
    const kept = directory({ items: 100, bytes: 2 ** 20 });
    const mirrors = kept.createMirrors('enclave/e');
    mirrors.apply(started);
    await kept.settled();
    const at = kept.position;
    kept.remove('enclave/e');
    await kept.settled();
    expect(kept.since('', at)?.at(-1)).toMatchObject({ kind: 'removed', address: 'enclave/e/transfer/t' });
  });

  it('what is kept of removed enclaves is bounded', async () => {
    const kept = directory({ items: 10, bytes: 2 ** 20 });
    const at = kept.position;
    for (let count = 0; count < 50; count++) {
      kept.createMirrors(`enclave/e${count}`).apply(started);
      await kept.settled();
      kept.remove(`enclave/e${count}`);
    }
    await kept.settled();
    expect(kept.since('', at)).toBeNull();
    expect(kept.since('', kept.position - 5)).toHaveLength(5);
  });
});
