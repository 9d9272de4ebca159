import { chmod, rm } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { CocosError } from '../../errors.ts';
import { CONNECT_TIMEOUT_MS, type Listener, type Transport } from './transport.ts';

/** Longest path of a unix socket that the kernel takes, less a margin. */
const SOCKET_PATH_LIMIT = 104;

/** A transport over unix sockets in one folder: a file for each port. Both sides use the same folder. */
export function unixTransport(directory: string): Transport {
  const fileOf = (port: number) => path.join(directory, `${port}.sock`);
  return {
    connect: (port, options = {}) => connectUnix(fileOf(port), options.timeoutMs ?? CONNECT_TIMEOUT_MS),
    listen: (port, onConnection) => listenUnix(fileOf(port), onConnection),
    dialOf: (port) => ({ unix: fileOf(port), vsockPort: null }),
  };
}

/** Bytes that a socket takes before it says that it is full; Node's own limit where there is none. */
export interface Buffering {
  readonly highWaterMark?: number;
}

/** @throws CocosError VSOCK_CONNECT when nobody listens at the path, or not within `timeoutMs`. */
export function connectUnix(file: string, timeoutMs: number, buffer: Buffering = {}): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ path: file, ...buffer });
    const fail = (cause: Error) => {
      clearTimeout(timer);
      socket.destroy();
      reject(new CocosError('VSOCK_CONNECT', `Nobody answers at ${file}.`, { cause }));
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
 * Listens at a path that only the owner may connect to; a stale socket file is replaced, a live one is not.
 *
 * @throws CocosError HOST_PORT_TAKEN when somebody answers there, CONFIG_INVALID when the path is too long.
 */
export async function listenUnix(
  file: string,
  onConnection: (socket: net.Socket) => void,
  buffer: Buffering = {},
): Promise<Listener> {
  if (Buffer.byteLength(file) > SOCKET_PATH_LIMIT) {
    throw new CocosError(
      'CONFIG_INVALID',
      `The socket path ${file} is longer than ${SOCKET_PATH_LIMIT} bytes.`,
    );
  }
  if (await isAnswered(file)) throw new CocosError('HOST_PORT_TAKEN', `Another process listens at ${file}.`);
  await rm(file, { force: true });
  const sockets = new Set<net.Socket>();
  const server = net.createServer(buffer, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    // Without a listener an error on a socket nobody holds yet would end the process.
    socket.on('error', () => socket.destroy());
    onConnection(socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new CocosError('HOST_PORT_TAKEN', `Cannot listen at ${file}.`, { cause })),
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
