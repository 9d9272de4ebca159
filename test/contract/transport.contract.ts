import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Listener, Transport } from '../../src/link/transport/transport.ts';

/** The two sides of a transport; the same object twice if both sides share it. */
export interface Sides {
  readonly dialler: Transport;
  readonly listener: Transport;
  readonly close: () => Promise<void>;
}

const PORT = 9000;
const MIB = 2 ** 20;
/** More bytes than a transport may buffer for a peer that does not read. */
const BUFFER_LIMIT = 16 * MIB;

/** The properties that link and relay require of every transport. */
export function transportContract(name: string, open: () => Promise<Sides>): void {
  describe(`the ${name} transport`, () => {
    let sides: Sides;
    let listeners: Listener[];
    let streams: Duplex[];

    beforeEach(async () => {
      sides = await open();
      listeners = [];
      streams = [];
    });

    afterEach(async () => {
      for (const stream of streams) stream.destroy();
      await Promise.all(listeners.map((listener) => listener.close()));
      await sides.close();
    });

    function hold(stream: Duplex): Duplex {
      streams.push(stream);
      return stream.on('error', () => undefined);
    }

    async function listen(port: number, onConnection: (stream: Duplex) => void): Promise<Listener> {
      const listener = await sides.listener.listen(port, (stream) => onConnection(hold(stream)));
      listeners.push(listener);
      return listener;
    }

    async function dial(port: number): Promise<Duplex> {
      return hold(await sides.dialler.connect(port));
    }

    /** A connection, seen from the dialling and the listening side. */
    async function pair(): Promise<readonly [Duplex, Duplex]> {
      let accept: (stream: Duplex) => void = () => undefined;
      const accepted = new Promise<Duplex>((resolve) => {
        accept = resolve;
      });
      await listen(PORT, (stream) => accept(stream));
      return [await dial(PORT), await accepted];
    }

    const sidesOf = (turn: 'dialler' | 'listener', [near, far]: readonly [Duplex, Duplex]) =>
      turn === 'dialler' ? ([near, far] as const) : ([far, near] as const);

    it('refuses a port without a listener', async () => {
      await expect(sides.dialler.connect(PORT)).rejects.toMatchObject({ code: 'VSOCK_CONNECT' });
    });

    it('refuses a port whose listener was closed, and allows another listener there', async () => {
      const listener = await listen(PORT, () => undefined);
      await listener.close();
      await expect(sides.dialler.connect(PORT)).rejects.toMatchObject({ code: 'VSOCK_CONNECT' });
      await pair();
    });

    it('refuses a second listener on a port without affecting the first', async () => {
      await listen(PORT, (stream) => stream.write('first'));
      await expect(listen(PORT, () => undefined)).rejects.toMatchObject({ code: 'HOST_PORT_TAKEN' });
      const [first] = await once(await dial(PORT), 'data');
      expect(String(first)).toBe('first');
    });

    it('transfers bytes unchanged in both directions at once', async () => {
      const [near, far] = await pair();
      const [there, back] = [randomBytes(MIB), randomBytes(MIB)];
      const received = Promise.all([collect(far), collect(near)]);
      near.end(there);
      far.end(back);
      const [atFar, atNear] = await received;
      expect(atFar.equals(there)).toBe(true);
      expect(atNear.equals(back)).toBe(true);
    });

    it('keeps ports and many connections apart', async () => {
      for (const port of [PORT, PORT + 1]) {
        await listen(port, (stream) =>
          stream.on('data', (chunk: Buffer) => stream.write(`${port} ${chunk.toString()}`)),
        );
      }
      const answers = await Promise.all(
        Array.from({ length: 50 }, async (_, index) => {
          const stream = await dial(PORT + (index % 2));
          stream.write(String(index));
          const [answer] = await once(stream, 'data');
          return String(answer);
        }),
      );
      expect(answers).toEqual(answers.map((_, index) => `${PORT + (index % 2)} ${index}`));
    });

    it.each(['dialler', 'listener'] as const)(
      'holds the %s back when its peer does not read',
      async (turn) => {
        const [writer, reader] = sidesOf(turn, await pair());
        const chunk = randomBytes(64 * 1024);
        let written = 0;
        while (written < 2 * BUFFER_LIMIT) {
          written += chunk.length;
          // A stream that is full only briefly would drain by itself.
          if (!writer.write(chunk) && !(await drains(writer))) break;
        }
        expect(written).toBeLessThan(BUFFER_LIMIT);
        const all = collect(reader);
        writer.end();
        expect((await all).length).toBe(written);
      },
    );

    it.each(['dialler', 'listener'] as const)('ends both sides when the %s is destroyed', async (turn) => {
      const [leaving, staying] = sidesOf(turn, await pair());
      staying.resume();
      const closed = once(staying, 'close');
      leaving.destroy();
      await closed;
    });

    it.each(['dialler', 'listener'] as const)(
      'tells a writer that was held back that its peer, the %s, is gone',
      async (turn) => {
        const [leaving, staying] = sidesOf(turn, await pair());
        const closed = new Promise((resolve) => staying.once('close', resolve));
        while (staying.write(randomBytes(64 * 1024)) || (await drains(staying)));
        leaving.destroy();
        staying.resume();
        await closed;
      },
    );

    it('ends its connections when the listener is closed', async () => {
      const listener = await listen(PORT, () => undefined);
      const near = await dial(PORT);
      near.resume();
      const closed = once(near, 'close');
      await listener.close();
      await closed;
    });
  });
}

function collect(stream: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  return new Promise((resolve) => stream.once('end', () => resolve(Buffer.concat(chunks))));
}

/** Whether a full stream accepts more within a short time. */
async function drains(stream: Duplex): Promise<boolean> {
  const drained = new AbortController();
  const result = await Promise.race([
    once(stream, 'drain', { signal: drained.signal }).then(
      () => true,
      () => false,
    ),
    sleep(200, false),
  ]);
  drained.abort();
  return result;
}
