import net from 'node:net';
import { type Duplex, pipeline } from 'node:stream';
import { CocosError } from '../../errors.ts';
import type { Listener } from '../../link/transport/transport.ts';
import { listenUnix } from '../../link/transport/unix.ts';
import { type Admission, PeerConnections, RELAY_LIMITS } from './peer-connections.ts';

/**
 * What a relay holds of one direction of a connection. Both ends seal and open half a MiB at a time and neither reads
 * nor writes meanwhile: with less between them one waits for the other.
 */
export const RELAY_BUFFER_BYTES = 1024 * 1024;
const BUFFER = { highWaterMark: RELAY_BUFFER_BYTES };
/** More than a connection has, so that a leak still shows. */
const LISTENERS = 20;
/** A connection that moves no byte in either direction for this long is closed. */
const IDLE_LIMIT_MS = 600_000;

export interface Relay extends Listener {
  /** Where participants dial: `unix:/path` or `tcp:127.0.0.1:port`. */
  readonly address: string;
}

export type RelayPlace = { readonly unix: string } | { readonly tcp: string; readonly port: number };

/** Where a relay listens; one that was open before comes back to its place. */
export function relayPlace(kind: 'unix' | 'tcp', file: string, before: string | null): RelayPlace {
  const [, host, port] = /^tcp:(.+):(\d+)$/.exec(before ?? '') ?? [];
  if (host !== undefined) return { tcp: host, port: Number(port) };
  return kind === 'tcp' ? { tcp: '127.0.0.1', port: 0 } : { unix: file };
}

interface RelayOptions {
  readonly at: RelayPlace;
  /** A fresh stream to the agent's participants' port. */
  readonly connect: () => Promise<Duplex>;
}

/** Carries participants' bytes to the agent, unread and unchanged. */
export async function openRelay(options: RelayOptions): Promise<Relay> {
  const connections = new PeerConnections(RELAY_LIMITS);
  const onConnection = (socket: net.Socket) => {
    const admission = connections.admit(socket);
    socket.on('error', () => socket.destroy());
    socket.setTimeout(IDLE_LIMIT_MS, () => socket.destroy());
    socket.pause();
    options.connect().then(
      (stream) => join(socket, stream, admission),
      () => socket.destroy(),
    );
  };
  if ('unix' in options.at) {
    const listener = await listenUnix(options.at.unix, onConnection, BUFFER);
    return { address: `unix:${options.at.unix}`, close: () => listener.close() };
  }
  return listenTcp(options.at, onConnection, connections);
}

/** vsock carries no half-close, so the end of either side ends both. */
export function join(socket: net.Socket, stream: Duplex, { sent, answered }: Admission): void {
  // Two pipelines, each with listeners of its own, beside those that count.
  socket.setMaxListeners(LISTENERS);
  const end = () => {
    socket.destroy();
    stream.destroy();
  };
  pipeline(socket, stream, end);
  pipeline(stream, socket, end);
  socket.on('data', sent);
  stream.on('data', answered);
}

async function listenTcp(
  at: { readonly tcp: string; readonly port: number },
  onConnection: (socket: net.Socket) => void,
  connections: PeerConnections,
): Promise<Relay> {
  const server = net.createServer({ noDelay: true, ...BUFFER }, onConnection);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new CocosError('HOST_PORT_TAKEN', `Cannot listen at ${at.tcp}:${at.port}.`, { cause })),
    );
    server.listen({ host: at.tcp, port: at.port }, resolve);
  });
  const bound = server.address();
  if (bound === null || typeof bound === 'string')
    throw new CocosError('INTERNAL', 'A TCP server has no port.');
  return {
    address: `tcp:${bound.address}:${bound.port}`,
    close: () =>
      new Promise((resolve) => {
        connections.closeAll();
        server.close(() => resolve());
      }),
  };
}
