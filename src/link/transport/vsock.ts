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
 * Native objects that listen, or whose descriptor now belongs to a `net.Socket`. On garbage collection an object
 * closes its descriptor's number, which may belong to another file by then. So the objects are kept for the lifetime
 * of the process: some hundred bytes per connection.
 */
const kept = new Set<NativeVsock>();

/** Listening ports with the present receiver of their connections; null if closed. */
const listening = new Map<number, ((socket: net.Socket) => void) | null>();

/**
 * Connects to a vsock port. The guest uses it towards the host, and so do hosts whose kernel has vhost-vsock. The
 * addon reports a refusal only after about a second.
 *
 * @throws CocosError VSOCK_CONNECT if nothing listens or after `timeoutMs`, HOST_VSOCK_MISSING without vsock
 */
export async function connectVsock(
  cid: number,
  port: number,
  options: { readonly timeoutMs?: number } = {},
): Promise<net.Socket> {
  let report: (event: VsockEvent) => void = () => undefined;
  const { native, fd } = openWithFd((event) => report(event));
  // The addon's thread uses the descriptor: keep the object until it has reported, however late.
  kept.add(native);
  native.setMaxConnectionAttempts(1);
  const refuse = (cause: string): CocosError =>
    new CocosError('VSOCK_CONNECT', `Cannot connect to vsock port ${port} of context id ${cid}.`, {
      cause: new Error(cause),
    });
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
 * Closing refuses further connections but keeps the port: the addon's thread cannot leave accept(), and a closed
 * descriptor number could be reused meanwhile. A later call can listen on the same port again.
 *
 * @throws CocosError HOST_PORT_TAKEN if the port is in use, HOST_VSOCK_MISSING without vsock
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
      throw new CocosError('HOST_PORT_TAKEN', `Cannot listen on vsock port ${port}.`, { cause });
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

/** Without a listener, an error on a socket without an owner would end the process. */
function guarded(socket: net.Socket): net.Socket {
  socket.on('error', () => socket.destroy());
  return socket;
}

/**
 * Opens a socket and finds its descriptor, which the addon does not expose: it is the one new socket in
 * /proc/self/fd after the constructor. If another thread opens a socket at the same moment, both are candidates, and
 * the attempt is repeated.
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
    'The descriptor of a new vsock socket could not be identified; try again.',
  );
}

/** Socket descriptors with their kernel names (`socket:[inode]`). */
function openSockets(): Map<number, string> {
  const sockets = new Map<number, string>();
  for (const name of readdirSync('/proc/self/fd')) {
    try {
      const link = readlinkSync(`/proc/self/fd/${name}`);
      if (link.startsWith('socket:')) sockets.set(Number(name), link);
    } catch {
      // The descriptor of the directory listing itself is closed by now.
    }
  }
  return sockets;
}
