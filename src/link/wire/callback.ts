import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { CocosError } from '../../errors.ts';
import { StreamHandoff } from '../transport/stream-handoff.ts';
import { CONNECT_TIMEOUT_MS, type Listener, PORTS, type Transport } from '../transport/transport.ts';

/**
 * With the kernel's vsock, one listener on the host receives the connections of all guests, and Node cannot tell which
 * guest each comes from. Such a host calls back instead: for every port that it "listens" on, it keeps one connection
 * to the same port of the guest. The agent uses that connection as if it had dialled itself.
 */

const RETRY_MS = 200;

/** Ports that the agent dials on its host, or where the host calls back. */
const CALLBACK_PORTS = [PORTS.link, PORTS.report] as const;

/** The host's side. `guest` connects to ports of one guest. */
export function callbackHost(guest: Pick<Transport, 'connect'>): Transport {
  return {
    connect: (port, options) => guest.connect(port, options),
    listen: (port, onConnection) => {
      const stop = new AbortController();
      void keepCalling(guest, port, onConnection, stop.signal);
      return Promise.resolve({
        close: () => {
          stop.abort();
          return Promise.resolve();
        },
      });
    },
  };
}

async function keepCalling(
  guest: Pick<Transport, 'connect'>,
  port: number,
  onConnection: (stream: Duplex) => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const stream = await guest.connect(port).catch(() => null);
    if (stream !== null && !signal.aborted) {
      const closed = new Promise<void>((resolve) => stream.once('close', resolve));
      const end = () => stream.destroy();
      signal.addEventListener('abort', end);
      onConnection(stream);
      await closed;
      signal.removeEventListener('abort', end);
    }
    stream?.destroy();
    await sleep(RETRY_MS);
  }
}

/** The agent's side: it dials the host and accepts the host's call, whichever succeeds first. */
export async function callbackAgent(base: Transport): Promise<Transport & Listener> {
  const called = new Map<number, StreamHandoff<Duplex>>();
  const listeners: Listener[] = [];
  for (const port of CALLBACK_PORTS) {
    const waiting = new StreamHandoff<Duplex>();
    called.set(port, waiting);
    listeners.push(await base.listen(port, (stream) => waiting.give(stream)));
  }
  return {
    listen: (port, onConnection) => base.listen(port, onConnection),
    connect: async (port, options = {}) => {
      const waiting = called.get(port);
      if (waiting === undefined) return base.connect(port, options);
      const over = new AbortController();
      const timer = setTimeout(() => over.abort(), options.timeoutMs ?? CONNECT_TIMEOUT_MS);
      try {
        return await Promise.any([waiting.take(over.signal), base.connect(port, options)]);
      } catch (cause) {
        throw new CocosError(
          'VSOCK_CONNECT',
          `The host neither accepts connections nor calls back on vsock port ${port}.`,
          {
            cause,
          },
        );
      } finally {
        clearTimeout(timer);
        over.abort();
      }
    },
    close: async () => {
      for (const waiting of called.values()) waiting.close();
      await Promise.all(listeners.map((listener) => listener.close()));
    },
  };
}
