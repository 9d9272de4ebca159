import { chmod, rm } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { CocosError } from '../../errors.ts';
import { CONNECT_TIMEOUT_MS, type Listener, type Transport } from './transport.ts';

/** Maximum path length of a unix socket, less a margin. */
const SOCKET_PATH_LIMIT = 104;

/** A transport over unix sockets in one folder, which both sides share: one file for each port. */
export function unixTransport(directory: string): Transport {
  const fileOf = (port: number) => path.join(directory, `${port}.sock`);
  return {
    connect: (port, options = {}) => connectUnix(fileOf(port), options.timeoutMs ?? CONNECT_TIMEOUT_MS),
    listen: (port, onConnection) => listenUnix(fileOf(port), onConnection),
    dialOf: (port) => ({ unix: fileOf(port), vsockPort: null }),
  };
}

/** Bytes that a socket buffers before it applies back-pressure; Node's default if omitted. */
export interface Buffering {
  readonly highWaterMark?: number;
}

/** @throws CocosError VSOCK_CONNECT if nothing listens at the path, or after `timeoutMs` */
export function connectUnix(file: string, timeoutMs: number, buffer: Buffering = {}): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ path: file, ...buffer });
    const fail = (cause: Error) => {
      clearTimeout(timer);
      socket.destroy();
      reject(new CocosError('VSOCK_CONNECT', `Nothing accepts connections at '${file}'.`, { cause }));
    };
    const timer = setTimeout(() => fail(new Error('timed out')), timeoutMs);
    socket.once('error', fail);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.off('error', fail);
      resolve(socket);
    });
  });
}

/**
 * Listens at a path that only the owner may connect to. A stale socket file is replaced; one in use is not.
 *
 * @throws CocosError HOST_PORT_TAKEN if another process listens there, CONFIG_INVALID if the path is too long
 */
export async function listenUnix(
  file: string,
  onConnection: (socket: net.Socket) => void,
  buffer: Buffering = {},
): Promise<Listener> {
  if (Buffer.byteLength(file) > SOCKET_PATH_LIMIT) {
    throw new CocosError(
      'CONFIG_INVALID',
      `The socket path '${file}' is longer than ${SOCKET_PATH_LIMIT} bytes; choose a shorter folder.`,
    );
  }
  if (await isAnswered(file))
    throw new CocosError(
      'HOST_PORT_TAKEN',
      `Another process listens at '${file}'; stop it or choose another folder.`,
    );
  await rm(file, { force: true });
  const sockets = new Set<net.Socket>();
  const server = net.createServer(buffer, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    // Without a listener, an error on a socket without an owner would end the process.
    socket.on('error', () => socket.destroy());
    onConnection(socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new CocosError('HOST_PORT_TAKEN', `Cannot listen at '${file}'.`, { cause })),
    );
    server.listen(file, resolve);
  });
  await chmod(file, 0o600);
  return {
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await rm(file, { force: true });
    },
  };
}

async function isAnswered(file: string): Promise<boolean> {
  try {
    (await connectUnix(file, 1_000)).destroy();
    return true;
  } catch {
    return false;
  }
}
