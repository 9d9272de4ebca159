import type { Duplex } from 'node:stream';
import { describe, expect, it, vi } from 'vitest';
import { CocosError } from '../../../src/errors.ts';
import { memoryPair } from '../../../src/link/transport/memory.ts';
import { decodeFrame, encodeFrame, type Frame, LengthPrefixReader } from '../../../src/link/wire/frame.ts';
import { eventually } from '../../harness/eventually.ts';
import { isLive, startLink, Wire } from './wire.ts';

describe('createLink', () => {
  it('completes the handshake, passes the enclave’s id, and delivers events in order', async () => {
    const wire = new Wire();
    const events: unknown[] = [];
    const manager = startLink({
      role: 'manager',
      open: wire.accept,
      enclaveId: 'abcd',
      onEvent: (body) => events.push(body),
    });
    const agent = startLink({ role: 'agent', open: wire.dial });
    await expect.poll(isLive(agent)).toBe(true);
    await expect.poll(isLive(manager)).toBe(true);
    expect(agent.enclaveId).toBe('abcd');
    for (let index = 0; index < 100; index++) agent.publish(index);
    await expect.poll(() => events).toEqual(Array.from({ length: 100 }, (_, index) => index));
  });

  it('resends unacknowledged events after an interruption, each delivered once', async () => {
    const wire = new Wire();
    const events: unknown[] = [];
    startLink({ role: 'manager', open: wire.accept, onEvent: (body) => events.push(body) });
    const agent = startLink({ role: 'agent', open: wire.dial });
    await expect.poll(isLive(agent)).toBe(true);
    for (let round = 0; round < 5; round++) {
      for (let index = 0; index < 20; index++) agent.publish(round * 20 + index);
      wire.cut();
      await expect.poll(isLive(agent)).toBe(true);
    }
    await expect.poll(() => events.length).toBe(100);
    expect(events).toEqual(Array.from({ length: 100 }, (_, index) => index));
  });

  it('applies a command once even if its reply is lost', async () => {
    const wire = new Wire();
    const run = vi.fn(async () => {
      // The stream is cut after the command was received and before its reply is sent.
      wire.cut();
      return 'done';
    });
    const manager = startLink({ role: 'manager', open: wire.accept });
    startLink({ role: 'agent', open: wire.dial, onCommand: run });
    await expect.poll(isLive(manager)).toBe(true);
    await expect(manager.command('work', {}, 10_000)).resolves.toBe('done');
    expect(run).toHaveBeenCalledTimes(1);
  });

  it('rejects a command with the peer’s error, or with its own if no reply arrives', async () => {
    const wire = new Wire();
    const manager = startLink({ role: 'manager', open: wire.accept });
    startLink({
      role: 'agent',
      open: wire.dial,
      onCommand: (name) =>
        name === 'never'
          ? new Promise(() => undefined)
          : Promise.reject(new CocosError('LIMIT_EXCEEDED', 'full')),
    });
    await expect.poll(isLive(manager)).toBe(true);
    await expect(manager.command('work', {}, 5_000)).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED' });
    await expect(manager.command('never', {}, 50)).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  });

  it('sends snapshots if the journal no longer covers the peer’s position', async () => {
    const wire = new Wire();
    const snapshots: [readonly unknown[], boolean][] = [];
    const events: unknown[] = [];
    const agent = startLink({
      role: 'agent',
      open: wire.dial,
      snapshot: () => ['state of one', 'state of two'],
    });
    // More than the journal holds, before anybody listens.
    for (let index = 0; index < 10_050; index++) agent.publish(index);
    startLink({
      role: 'manager',
      open: wire.accept,
      onSnapshot: (records, first) => snapshots.push([records, first]),
      onEvent: (body) => events.push(body),
    });
    await expect
      .poll(() => snapshots)
      .toEqual([
        [['state of one'], true],
        [['state of two'], false],
      ]);
    agent.publish('later');
    await expect.poll(() => events).toEqual(['later']);
  });
});

describe('a hostile peer', () => {
  interface Raw {
    readonly far: Duplex;
    readonly frames: Frame[];
    readonly reasons: (string | null)[];
  }

  /** A manager's link whose peer is played by the test. */
  async function play(): Promise<Raw> {
    const [near, far] = memoryPair();
    const frames: Frame[] = [];
    const reasons: (string | null)[] = [];
    const streams = [near];
    startLink({
      role: 'manager',
      open: () => {
        const stream = streams.shift();
        return stream === undefined ? new Promise(() => undefined) : Promise.resolve(stream);
      },
      onEvent: () => {
        throw new CocosError('LINK_PROTOCOL', 'not this event');
      },
      onState: (state, reason) => state === 'lost' && reasons.push(reason),
    });
    const reader = new LengthPrefixReader();
    far.on('data', (chunk: Buffer) => {
      for (const message of reader.push(chunk)) frames.push(decodeFrame(message));
    });
    await expect.poll(() => frames[0]?.kind).toBe('hello');
    return { far, frames, reasons };
  }

  const hello = {
    kind: 'hello' as const,
    seq: 0,
    ack: 0,
    body: { protocol: 1, role: 'agent', enclaveId: null, bootId: 'b', peerBootId: null, received: 0 },
  };
  const event = (seq: number): Frame => ({ kind: 'event', seq, ack: 0, body: null });

  it.each<[string, readonly (Frame | Buffer)[], string?]>([
    ['another protocol', [{ ...hello, body: { ...hello.body, protocol: 2 } }]],
    ['the same role', [{ ...hello, body: { ...hello.body, role: 'manager' } }]],
    ['a first frame that is not a hello', [event(1)]],
    ['a second hello', [hello, hello]],
    ['a gap in the sequence', [hello, event(2)]],
    ['an event that is refused', [hello, event(1)]],
    ['a malformed command', [hello, { kind: 'command', seq: 1, ack: 0, body: 1 }]],
    ['a malformed reply', [hello, { kind: 'reply', seq: 1, ack: 0, body: {} }]],
    ['a malformed snapshot', [hello, { kind: 'snapshot', seq: 1, ack: 0, body: {} }]],
    ['a frame of no length', [hello, Buffer.alloc(4)], 'FRAME_INVALID'],
    ['a frame of four thousand million bytes', [Buffer.from('ffffffff', 'hex')], 'FRAME_INVALID'],
    ['an extension', [hello, Buffer.from('00000003d47200', 'hex')], 'FRAME_INVALID'],
  ])('loses its stream for %s, with the reason', async (_what, sent, code = 'LINK_PROTOCOL') => {
    const { far, reasons } = await play();
    const closed = new Promise((resolve) => far.once('close', resolve));
    for (const each of sent) far.write(Buffer.isBuffer(each) ? each : encodeFrame(each));
    await closed;
    await expect.poll(() => reasons).toEqual([expect.stringMatching(`^${code}: `)]);
  });

  it('is disconnected when it falls silent and accepted when it returns', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    try {
      const pairs = [memoryPair(), memoryPair()];
      const streams = pairs.map(([near]) => near);
      const [first, second] = pairs.map(([, far]) => far.on('data', () => undefined));
      if (first === undefined || second === undefined) throw new Error('two pairs were made');
      const states: [string, string | null][] = [];
      const link = startLink({
        role: 'manager',
        open: () => {
          const stream = streams.shift();
          return stream === undefined ? new Promise(() => undefined) : Promise.resolve(stream);
        },
        onState: (state, reason) => states.push([state, reason]),
      });
      first.write(encodeFrame(hello));
      await eventually(() => expect(link.isLive).toBe(true));
      // Two heartbeats missed are not enough.
      vi.advanceTimersByTime(5_900);
      expect(link.isLive).toBe(true);
      const closed = new Promise((resolve) => first.once('close', resolve));
      vi.advanceTimersByTime(1_000);
      await closed;
      expect(link.isLive).toBe(false);
      second.write(encodeFrame(hello));
      await eventually(() => expect(link.isLive).toBe(true));
      expect(states).toEqual([
        ['live', null],
        ['lost', 'the peer fell silent'],
        ['live', null],
      ]);
    } finally {
      vi.useRealTimers();
    }
  });

  it('keeps its stream with heartbeats alone, and receives heartbeats', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    try {
      const [near, far] = memoryPair();
      const link = startLink({ role: 'manager', open: () => Promise.resolve(near) });
      const kinds: string[] = [];
      const reader = new LengthPrefixReader();
      far.on('data', (chunk: Buffer) => {
        for (const message of reader.push(chunk)) kinds.push(decodeFrame(message).kind);
      });
      far.write(encodeFrame(hello));
      await eventually(() => expect(link.isLive).toBe(true));
      for (let beat = 0; beat < 6; beat++) {
        far.write(encodeFrame({ kind: 'ping', seq: 0, ack: 0, body: null }));
        await new Promise((resolve) => setImmediate(resolve));
        vi.advanceTimersByTime(2_000);
      }
      expect(link.isLive).toBe(true);
      await eventually(() =>
        expect(kinds.filter((kind) => kind === 'ping').length).toBeGreaterThanOrEqual(5),
      );
    } finally {
      vi.useRealTimers();
    }
  });

  it('reads no more for a while from a peer whose events take more than its share of the time', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
    try {
      const wire = new Wire();
      const clock = { ms: 0 };
      const events: unknown[] = [];
      startLink({
        role: 'manager',
        open: wire.accept,
        now: () => clock.ms,
        onEvent: (body) => {
          events.push(body);
          clock.ms += 1_000;
        },
      });
      const agent = startLink({ role: 'agent', open: wire.dial, now: () => 0 });
      await vi.advanceTimersByTimeAsync(10);
      expect(agent.isLive).toBe(true);
      for (const event of [1, 2, 3]) agent.publish(event);
      await vi.advanceTimersByTimeAsync(10);
      expect(events).toEqual([1]);
      await vi.advanceTimersByTimeAsync(900);
      expect(events).toEqual([1]);
      await vi.advanceTimersByTimeAsync(100);
      expect(events).toEqual([1, 2]);
    } finally {
      vi.useRealTimers();
    }
  });
});
