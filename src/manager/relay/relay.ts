import type net from 'node:net';
import type { Duplex } from 'node:stream';
import { joinStreams } from '../../link/transport/join-streams.ts';
import type { Listener } from '../../link/transport/transport.ts';
import { listenUnix } from '../../link/transport/unix.ts';
import { type Admission, PeerConnections, RELAY_LIMITS } from './peer-connections.ts';
import { endWhenIdle, listenTcp } from './tcp-listener.ts';

/**
 * What a relay holds of one direction of a connection. Both ends seal and open half a MiB at a time and neither reads
 * nor writes meanwhile: with less between them one waits for the other.
 */
export const RELAY_BUFFER_BYTES = 1024 * 1024;
const BUFFER = { highWaterMark: RELAY_BUFFER_BYTES };
/** More than a connection has, so that a leak still shows. */
const LISTENERS = 20;

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
    endWhenIdle(socket);
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
  const { tcp: host, port } = options.at;
  const closeAll = () => connections.closeAll();
  const { address, close } = await listenTcp({ host, port }, RELAY_BUFFER_BYTES, onConnection, closeAll);
  return { address: `tcp:${address}`, close };
}

/** Joins a participant's connection to the agent, and counts what it carries. */
export function join(socket: net.Socket, stream: Duplex, { sent, answered }: Admission): void {
  // Two pipelines, each with listeners of its own, beside those that count.
  socket.setMaxListeners(LISTENERS);
  joinStreams(socket, stream);
  socket.on('data', sent);
  stream.on('data', answered);
}
