import { readdirSync, readlinkSync } from 'node:fs';
import type net from 'node:net';
import { CocosError } from '../../errors.ts';
import { socketFromFd } from './socket-from-fd.ts';
import { CONNECT_TIMEOUT_MS, type Listener, type Transport } from './transport.ts';
import { type NativeVsock, openNative, type VsockEvent } from './vsock-binding.ts';

/** Context id of the host, as a guest sees it (linux/vm_sockets.h, VMADDR_CID_HOST). */
export const CID_HOST = 2;

const OPEN_ATTEMPTS = 5;

/**
 * Native objects whose descriptor now belongs to a `net.Socket`, or that listen. The object closes its
 * descriptor's number when it is collected, and by then that number may be another file: so it is kept for
 * as long as the process lives, some hundred bytes for each connection made.
 */
const kept = new Set<NativeVsock>();

/** Ports listened at, with the present receiver of their connections; null when closed. */
const listening = new Map<number, ((socket: net.Socket) => void) | null>();

/**
 * Connects to a vsock port. Used by the guest towards the host, and by hosts whose kernel has vhost-vsock.
 * A refusal is reported about a second late, since the addon waits before it tells.
 *
 * @throws CocosError VSOCK_CONNECT when nobody listens or not within `timeoutMs`, HOST_VSOCK_MISSING without vsock
 */
export async function connectVsock(
  cid: number,
  port: number,
  options: { readonly timeoutMs?: number } = {},
): Promise<net.Socket> {
  let report: (event: VsockEvent) => void = () => undefined;
  const { native, fd } = openWithFd((event) => report(event));
  // The addon's thread works on the descriptor: keep the object until it has reported, however late.
  kept.add(native);
  native.setMaxConnectionAttempts(1);
  const refuse = (cause: string): CocosError =>
    new CocosError('VSOCK_CONNECT', `No connection to vsock ${cid}:${port}.`, { cause: new Error(cause) });
  return await new Promise<net.Socket>((resolve, reject) => {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      reject(refuse('timed out'));
    }, options.timeoutMs ?? CONNECT_TIMEOUT_MS);
    report = (event) => {
      report = () => undefined;
      clearTimeout(timer);
      if (event.kind === 'connected' && !isLate) return resolve(guarded(socketFromFd(fd)));
      native.close();
      kept.delete(native);
      reject(refuse(event.kind === 'failed' ? event.message : 'timed out'));
    };
    native.connect(cid, port);
  });
}

/**
 * Listens at a vsock port for connections from any context id.
 *
 * Closing refuses further connections but keeps the port: the addon's thread cannot be taken out of accept(),
 * and a closed descriptor number could be reused under it. Listening at the same port again is possible.
 *
 * @throws CocosError HOST_PORT_TAKEN when the port is in use, HOST_VSOCK_MISSING without vsock
 */
export function listenVsock(port: number, onConnection: (socket: net.Socket) => void): Listener {
  const present = listening.get(port);
  if (present != null) throw new CocosError('HOST_PORT_TAKEN', `The vsock port ${port} is in use.`);
  if (present === undefined) {
    const native = openNative((event) => accept(port, event));
    try {
      native.listen(port);
    } catch (cause) {
      native.close();
      throw new CocosError('HOST_PORT_TAKEN', `Cannot listen at the vsock port ${port}.`, { cause });
    }
    kept.add(native);
  }
  const sockets = new Set<net.Socket>();
  listening.set(port, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    onConnection(socket);
  });
  return {
    close: () => {
      listening.set(port, null);
      for (const socket of sockets) socket.destroy();
      return Promise.resolve();
    },
  };
}

/** Vsock ports of one context id as a transport. */
export function vsockTransport(cid: number): Transport {
  return {
    connect: (port, options) => connectVsock(cid, port, options),
    listen: async (port, onConnection) => listenVsock(port, onConnection),
  };
}

function accept(port: number, event: VsockEvent): void {
  if (event.kind !== 'accepted') return;
  const socket = guarded(socketFromFd(event.fd));
  const receiver = listening.get(port);
  if (receiver == null) socket.destroy();
  else receiver(socket);
}

/** Without a listener an error on a socket nobody holds yet would end the process. */
function guarded(socket: net.Socket): net.Socket {
  socket.on('error', () => socket.destroy());
  return socket;
}

/**
 * Opens a socket and finds its descriptor, which the addon does not tell: it is the one socket that
 * /proc/self/fd has more after the constructor. Another thread may open one at that very moment; then both
 * are candidates and the attempt is repeated.
 */
function openWithFd(onEvent: (event: VsockEvent) => void): { native: NativeVsock; fd: number } {
  for (let attempt = 0; attempt < OPEN_ATTEMPTS; attempt++) {
    const before = openSockets();
    const native = openNative(onEvent);
    const [fd, ...others] = [...openSockets()].filter(([number, inode]) => before.get(number) !== inode);
    if (fd !== undefined && others.length === 0) return { native, fd: fd[0] };
    native.close();
  }
  throw new CocosError(
    'VSOCK_CONNECT',
    'The descriptor of a new vsock socket could not be told from others.',
  );
}

/** Descriptors that are sockets, with the kernel's name of each (`socket:[inode]`). */
function openSockets(): Map<number, string> {
  const sockets = new Map<number, string>();
  for (const name of readdirSync('/proc/self/fd')) {
    try {
      const link = readlinkSync(`/proc/self/fd/${name}`);
      if (link.startsWith('socket:')) sockets.set(Number(name), link);
    } catch {
      // The descriptor of the listing itself is closed by now.
    }
  }
  return sockets;
}
