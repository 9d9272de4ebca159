import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { LinkOptions, LinkPosition } from '../../../src/link/link.ts';
import { memoryPair } from '../../../src/link/transport/memory.ts';
import {
  decodeFrame,
  encodeFrame,
  type Frame,
  LengthPrefixReader,
  MAX_FRAME_BYTES,
} from '../../../src/link/wire/frame.ts';
import { isLive, startLink, Wire } from './wire.ts';

const TOO_LARGE = Buffer.alloc(MAX_FRAME_BYTES);

const hello = (received = 0, peerBootId: string | null = null): Frame => ({
  kind: 'hello',
  seq: 0,
  ack: 0,
  body: { protocol: 1, role: 'manager', enclaveId: 'abcd', bootId: 'm', peerBootId, received },
});
const frame = (kind: Frame['kind'], seq: number, body: unknown): Frame => ({ kind, seq, ack: 0, body });

/** An agent's link whose manager is played by the test. */
function byHand(options: Partial<LinkOptions> = {}) {
  const [near, far] = memoryPair();
  const streams = [near];
  const link = startLink({
    role: 'agent',
    open: () => {
      const stream = streams.shift();
      return stream === undefined ? new Promise(() => undefined) : Promise.resolve(stream);
    },
    ...options,
  });
  const got: Frame[] = [];
  const reader = new LengthPrefixReader();
  far.on('data', (chunk: Buffer) => {
    for (const message of reader.push(chunk)) got.push(decodeFrame(message));
  });
  /** In one chunk. */
  const send = (...frames: readonly Frame[]) => far.write(Buffer.concat(frames.map(encodeFrame)));
  return { link, far, got, send };
}

describe('a link and its journal', () => {
  it('applies a repeated frame once', async () => {
    const events: unknown[] = [];
    const { send, got } = byHand({ onEvent: (body) => events.push(body) });
    send(hello(), frame('event', 1, 'a'), frame('event', 2, 'b'));
    send(frame('event', 1, 'a'), frame('event', 2, 'b'), frame('event', 3, 'c'));
    await expect.poll(() => events).toEqual(['a', 'b', 'c']);
    await expect.poll(() => got.at(-1)).toMatchObject({ kind: 'ack', ack: 3 });
  });

  it('sends what a command that arrived with the hello publishes', async () => {
    const { link, send, got } = byHand({
      onCommand: async () => {
        link.publish('moved');
        return 'done';
      },
    });
    send(hello(), frame('command', 1, { id: 'c', name: 'work', input: null }));
    await expect
      .poll(() => got.filter(({ seq }) => seq > 0).map(({ kind, seq }) => [kind, seq]))
      .toEqual([
        ['event', 1],
        ['reply', 2],
      ]);
    expect(link.isLive).toBe(true);
  });

  it('resumes after the position that the peer reports', async () => {
    const { link, send, got } = byHand();
    for (const body of ['a', 'b', 'c']) link.publish(body);
    send(hello(2, 'agent'));
    await expect
      .poll(() => got.filter(({ kind }) => kind === 'event'))
      .toMatchObject([{ seq: 3, body: 'c' }]);
  });

  it('starts from the beginning when the peer refers to another boot of this side', async () => {
    const { link, send, got } = byHand();
    for (const body of ['a', 'b', 'c']) link.publish(body);
    send(hello(2, 'another'));
    await expect.poll(() => got.filter(({ kind }) => kind === 'event').length).toBe(3);
  });

  it('acknowledges only stored frames', async () => {
    let store: () => void = () => undefined;
    const stored = new Promise<void>((resolve) => (store = resolve));
    const positions: LinkPosition[] = [];
    const { link, send, got } = byHand({
      commit: (position) => {
        positions.push(position);
        return stored;
      },
    });
    send(hello(), frame('event', 1, 'a'));
    await expect.poll(() => got.at(-1)?.kind).toBe('ack');
    expect(got.at(-1)?.ack).toBe(0);
    expect(positions).toEqual([{ peerBootId: 'm', received: 1 }]);
    store();
    await sleep(0);
    link.publish('anything');
    await expect.poll(() => got.at(-1)).toMatchObject({ kind: 'event', ack: 1 });
  });

  it('continues at the position that an earlier run of this side stored', async () => {
    const events: unknown[] = [];
    const { send, got } = byHand({
      resume: { peerBootId: 'm', received: 7 },
      onEvent: (body) => events.push(body),
    });
    await expect.poll(() => got[0]?.body).toMatchObject({ peerBootId: 'm', received: 7 });
    send(hello(), frame('event', 7, 'old'), frame('event', 8, 'new'));
    await expect.poll(() => events).toEqual(['new']);
  });

  it('refuses to publish a body that does not fit a frame, and continues', async () => {
    const { link, send, got } = byHand();
    send(hello());
    await expect.poll(isLive(link)).toBe(true);
    expect(() => link.publish(TOO_LARGE)).toThrow(expect.objectContaining({ code: 'LIMIT_EXCEEDED' }));
    link.publish('small');
    await expect.poll(() => got.at(-1)).toMatchObject({ kind: 'event', seq: 1, body: 'small' });
  });

  it('refuses a command or a reply that does not fit a frame, and continues', async () => {
    const wire = new Wire();
    const manager = startLink({ role: 'manager', open: wire.accept });
    startLink({
      role: 'agent',
      open: wire.dial,
      onCommand: async (name) => (name === 'large' ? TOO_LARGE : 'small'),
    });
    const tooLarge = expect.objectContaining({ code: 'LIMIT_EXCEEDED' });
    await expect(manager.command('any', TOO_LARGE, 5_000)).rejects.toEqual(tooLarge);
    await expect(manager.command('large', null, 5_000)).rejects.toEqual(tooLarge);
    await expect(manager.command('other', null, 5_000)).resolves.toBe('small');
  });

  it('fails pending commands when it is closed', async () => {
    const wire = new Wire();
    const manager = startLink({ role: 'manager', open: wire.accept });
    const answer = manager.command('work', null, 5_000);
    manager.close();
    await expect(answer).rejects.toMatchObject({ code: 'LINK_LOST' });
  });
});
