import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MirrorSet } from '../../../src/link/mirror/mirror.ts';
import { decodeFrame, encodeFrame } from '../../../src/link/wire/frame.ts';
import type { EnclaveJournal } from '../../../src/manager/store/enclave-journal.ts';
import { MirrorJournal } from '../../../src/manager/store/mirror-journal.ts';
import { Store } from '../../../src/manager/store/store.ts';

/** What an agent journaled comes back after the manager's process has ended at any point. */

const ENCLAVE = 'enclave/e1';
const digest = `sha256:${'0'.repeat(64)}`;
const input = {
  ...{ transferId: 't', input: 'data', participant: `ed25519:${'B'.repeat(43)}` },
  ...{ size: 2 ** 30, digest, atMs: 1 },
};
const started = { kind: 'started', address: 'transfer/t', input };
const attached = { kind: 'event', address: 'transfer/t', event: { type: 'transfer.attached' } };
const progress = (segments: number) => ({
  kind: 'event',
  address: 'transfer/t',
  event: { type: 'transfer.progress', segments, received: segments * 65_536 },
});
const retired = { kind: 'retired', address: 'transfer/t' };

let folder: string;
let store: Store;
let run: number;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'cocosai-journal-'));
  store = new Store(folder);
  run = 0;
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Side {
  readonly mirrors: MirrorSet;
  readonly journal: MirrorJournal;
  readonly enclave: EnclaveJournal;
  readonly failures: string[];
  refused: string[];
  /** Takes in records of the agent's journal, from this position on. */
  take(from: number, records: readonly unknown[], bootId?: string): Promise<void>;
  readonly received: () => number | undefined;
  readonly segments: () => unknown;
}

/** The manager's side after a start; an earlier one is left as a killed process would leave it. */
async function open(): Promise<Side> {
  const failures: string[] = [];
  const journal: MirrorJournal = new MirrorJournal({
    store,
    firstNumber: run++ * 1_000,
    mirrorsOf: () => mirrors,
    onFailure: ({ message }) => failures.push(message),
  });
  const enclave = journal.enclave(ENCLAVE);
  const mirrors = new MirrorSet(({ address, event }) => {
    if (event !== 'restored') void enclave.touch(address).catch(() => undefined);
  }, `${ENCLAVE}/`);
  const side: Side = {
    ...{ mirrors, journal, enclave, failures, refused: [] },
    take: async (from, records, bootId = 'b1') => {
      const stored = records.map((body, index) => {
        const seq = from + index;
        const frame = encodeFrame({ kind: 'event', seq, ack: 0, body }).subarray(4);
        mirrors.apply(decodeFrame(frame).body);
        return enclave.append({ peerBootId: bootId, received: seq }, frame);
      });
      await Promise.all(stored);
    },
    received: () => enclave.position?.received,
    segments: () => mirrors.get('transfer/t')?.context['segments'],
  };
  side.refused = await journal.restore([ENCLAVE]);
  return side;
}

describe('a mirror journal', () => {
  it('everything that was acknowledged is stored, also what arrived during a transaction', async () => {
    const side = await open();
    await side.take(1, [started, attached]);
    const first = side.take(3, [progress(1)]);
    // Begins a transaction; what follows arrives while that is under way.
    side.journal.flush();
    const second = side.take(4, [progress(2)]);
    side.journal.flush();
    const third = side.take(5, [progress(3)]);
    await Promise.all([first, second, third]);
    const next = await open();
    expect(next.received()).toBe(5);
    expect(next.segments()).toBe(3);
    expect(next.refused).toEqual([]);
  });

  it('brings back what was taken in, over several runs', async () => {
    await (await open()).take(1, [started, attached, progress(1)]);
    const second = await open();
    expect([second.received(), second.segments()]).toEqual([3, 1]);
    await second.take(4, [progress(2)]);
    await second.take(5, [progress(3)]);
    const third = await open();
    expect([third.received(), third.segments()]).toEqual([5, 3]);
  });

  it('brings back the mirrors themselves after an orderly end, and nothing twice', async () => {
    const first = await open();
    await first.take(1, [started, attached, progress(1)]);
    await first.journal.close();
    expect([...store.load('journal/')]).toEqual([]);
    const second = await open();
    expect([second.received(), second.segments()]).toEqual([3, 1]);
  });

  it('does not bring back what the agent has ended', async () => {
    const first = await open();
    await first.take(1, [started]);
    await first.journal.close();
    const second = await open();
    await second.take(2, [retired]);
    const third = await open();
    expect([third.received(), third.mirrors.addresses()]).toEqual([2, []]);
    expect([...store.load('mirror/')]).toEqual([]);
  });

  it('goes back to before a damaged record, so that the agent sends again what followed it', async () => {
    const first = await open();
    await first.take(1, [started, attached]);
    await first.take(3, [progress(1)]);
    await first.take(4, [progress(2)]);
    const [, second] = [...store.load('journal/')].map(({ key }) => key);
    if (second === undefined) throw new Error('there is no second record');
    await store.database.put(second, Buffer.from('damaged'));
    const again = await open();
    expect(again.refused).toEqual([second]);
    expect([again.received(), again.segments()]).toEqual([2, 0]);
  });

  it('begins anew with another boot of the agent, and with full states', async () => {
    const first = await open();
    await first.take(1, [started, attached, progress(1)]);
    await first.take(1, [started, attached, progress(7)], 'b2');
    const second = await open();
    expect([second.received(), second.segments()]).toEqual([3, 7]);
    second.mirrors.clear();
    second.enclave.clear('b3');
    await second.enclave.settle({ peerBootId: 'b3', received: 0 });
    const third = await open();
    expect([third.received(), third.mirrors.addresses()]).toEqual([0, []]);
  });

  it('brings back full states that an agent has sent, although no event has moved them since', async () => {
    const first = await open();
    await first.take(1, [started, attached, progress(1)]);
    const { value, context } = first.mirrors.get('transfer/t') ?? {};
    const snapshot = { status: 'active', value, context: { ...context, segments: 9 } };
    first.mirrors.clear();
    first.enclave.clear('b1');
    // Until the last of the states has come, those that were stored before are what a restart finds.
    const between = await open();
    expect([between.received(), between.segments()]).toEqual([3, 1]);
    first.mirrors.apply({ kind: 'state', address: 'transfer/t', snapshot });
    await first.enclave.settle({ peerBootId: 'b1', received: 7 });
    const second = await open();
    expect([second.received(), second.segments()]).toEqual([7, 9]);
  });

  it('keeps what the disk does not take, in order, and writes it with what comes next', async () => {
    const first = await open();
    await first.take(1, [started, attached]);
    const transact = vi.spyOn(store, 'transact').mockRejectedValueOnce(new Error('no space left'));
    await expect(first.take(3, [progress(1)])).rejects.toThrow('no space left');
    await first.take(4, [progress(2)]);
    transact.mockRestore();
    expect(first.failures).toEqual(['no space left']);
    const second = await open();
    expect([second.received(), second.segments()]).toEqual([4, 2]);
  });

  it('a stored context that its chart does not have is refused at the restart, and the others come back', async () => {
    const first = await open();
    await first.take(1, [started, attached]);
    await first.take(3, [{ ...started, address: 'transfer/u' }]);
    await first.journal.close();
    // As a program without this check stored it.
    const key = `mirror/${ENCLAVE}/transfer/t`;
    const maps = Array.from({ length: 10_000 }, () => ({}));
    await store.put(key, 'mirror', 1, { value: 'receiving', context: { ...input, maps } });
    const again = await open();
    expect(again.refused).toEqual([key]);
    expect(again.mirrors.addresses()).toEqual(['transfer/u']);
  });
});
