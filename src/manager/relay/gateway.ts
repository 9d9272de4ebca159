import type net from 'node:net';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';
import { CocosError } from '../../errors.ts';
import { connectTarget, KEEP_ALIVE_MS, readHead } from '../../rpc/http-connect.ts';
import { type Admission, PeerConnections, type PeerLimits, RELAY_LIMITS } from './peer-connections.ts';
import { join, RELAY_BUFFER_BYTES, type Relay } from './relay.ts';
import { endWhenIdle, listenTcp } from './tcp-listener.ts';

/** How long a participant may take to say which enclave it wants. */
const HEAD_LIMIT_MS = 10_000;

/** Connections that have not named an enclave, in TLS or before it. */
const WAITING_LIMITS: PeerLimits = { shared: 512, single: 1_024 };

/** Where a gateway listens. */
export interface GatewayPlace {
  readonly host: string;
  readonly port: number;
  /** Its certificate chain and key, PEM; null for plain TCP, in which the participants' own sealing is all there is. */
  readonly tls: { readonly certificate: string; readonly key: string } | null;
}

interface GatewayOptions {
  readonly at: GatewayPlace;
  /** Dials the agent of an enclave; null for one that there is not, or that does not run. */
  readonly find: (enclave: string) => (() => Promise<Duplex>) | null;
}

/**
 * One address for the participants of all enclaves of a host. A participant names its enclave by HTTP CONNECT, which
 * proxies pass on, and then speaks with the agent as through a relay of its own. Whoever names an enclave that is not
 * here learns nothing else: there is one answer for all that cannot be reached.
 */
export async function openGateway({ at, find }: GatewayOptions): Promise<Relay> {
  const secureContext = at.tls === null ? null : contextOf(at.tls);
  /** That have not said what they want. */
  const waiting = new PeerConnections(WAITING_LIMITS);
  /** By enclave, so that those of one cannot displace those of another. */
  const routed = new Map<string, PeerConnections>();
  const route = (socket: net.Socket, enclave: string): Admission => {
    const peers = routed.get(enclave) ?? new PeerConnections(RELAY_LIMITS);
    routed.set(enclave, peers);
    const admission = peers.admit(socket);
    // After the listener of `admit`, which counts it out.
    socket.once('close', () => {
      if (peers.size === 0) routed.delete(enclave);
    });
    return admission;
  };
  const serve = async (raw: net.Socket, leave: () => void): Promise<void> => {
    const socket = secureContext === null ? raw : await secured(raw, secureContext);
    const head = await readHead(socket, HEAD_LIMIT_MS);
    const enclave = head === null ? null : connectTarget(head);
    if (enclave === null) return refuse(socket, head === null ? 408 : 405);
    const stream = await find(enclave)?.().catch(() => null);
    if (stream === null || stream === undefined) return refuse(socket, 404);
    leave();
    const admission = route(socket, enclave);
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
    join(socket, stream, admission);
  };
  const onConnection = (socket: net.Socket) => {
    endWhenIdle(socket);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    serve(socket, waiting.admit(socket).leave).catch(() => socket.destroy());
  };
  const closeAll = () => {
    for (const peers of [waiting, ...routed.values()]) peers.closeAll();
  };
  const { address, close } = await listenTcp(at, RELAY_BUFFER_BYTES, onConnection, closeAll);
  return { address: `${at.tls === null ? 'tcp' : 'tls'}:${address}`, close };
}

function contextOf({ certificate, key }: NonNullable<GatewayPlace['tls']>): tls.SecureContext {
  try {
    return tls.createSecureContext({ cert: certificate, key, minVersion: 'TLSv1.3' });
  } catch (cause) {
    throw new CocosError(
      'CONFIG_INVALID',
      'Certificate and key of the gateway are not PEM files of one pair.',
      {
        cause,
      },
    );
  }
}

/** The end of a handshake. A connection counts before it begins, since one that never ends it costs as much. */
function secured(raw: net.Socket, secureContext: tls.SecureContext): Promise<net.Socket> {
  const socket = new tls.TLSSocket(raw, { isServer: true, secureContext });
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail(new Error('the handshake timed out')), HEAD_LIMIT_MS);
    const fail = (error: Error) => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    socket.on('error', fail);
    socket.once('secure', () => {
      clearTimeout(timer);
      socket.off('error', fail);
      socket.on('error', () => socket.destroy());
      resolve(socket);
    });
  });
}

const REASONS = { 404: 'Not Found', 405: 'Method Not Allowed', 408: 'Request Timeout' } as const;

function refuse(socket: net.Socket, status: keyof typeof REASONS): void {
  socket.end(`HTTP/1.1 ${status} ${REASONS[status]}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
}
