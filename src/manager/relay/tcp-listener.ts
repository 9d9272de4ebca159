import net from 'node:net';
import { CocosError } from '../../errors.ts';
import type { Listener } from '../../link/transport/transport.ts';

/** A connection that moves no byte in either direction for this long is closed. */
const IDLE_LIMIT_MS = 600_000;

/** Ends a participant's connection when it breaks, and when it is idle for too long. */
export function endWhenIdle(socket: net.Socket): void {
  socket.on('error', () => socket.destroy());
  socket.setTimeout(IDLE_LIMIT_MS, () => socket.destroy());
}

interface TcpListener extends Listener {
  /** `host:port`, with an IPv6 address in brackets. */
  readonly address: string;
}

/**
 * @param closeAll ends the connections that are open, when the listener is closed
 * @throws CocosError HOST_PORT_TAKEN
 */
export async function listenTcp(
  at: { readonly host: string; readonly port: number },
  highWaterMark: number,
  onConnection: (socket: net.Socket) => void,
  closeAll: () => void,
): Promise<TcpListener> {
  const server = net.createServer({ noDelay: true, highWaterMark }, onConnection);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new CocosError('HOST_PORT_TAKEN', `Cannot listen at ${at.host}:${at.port}.`, { cause })),
    );
    server.listen({ host: at.host, port: at.port }, resolve);
  });
  const bound = server.address();
  if (bound === null || typeof bound === 'string')
    throw new CocosError('INTERNAL', 'A TCP server has no port.');
  const host = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address;
  return {
    address: `${host}:${bound.port}`,
    close: () =>
      new Promise((resolve) => {
        closeAll();
        server.close(() => resolve());
      }),
  };
}
