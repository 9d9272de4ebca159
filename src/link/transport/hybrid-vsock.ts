import type net from 'node:net';
import { CocosError } from '../../errors.ts';
import { CONNECT_TIMEOUT_MS, type Listener, type Transport } from './transport.ts';
import { type Buffering, connectUnix, listenUnix } from './unix.ts';

/** Maximum length of the daemon's answer: `OK `, a port of ten digits, a line feed, and a margin. */
const ANSWER_LIMIT = 64;
const LINE_FEED = 0x0a;

/**
 * Connects to a vsock port of a guest through the unix socket of vhost-device-vsock. The daemon answers
 * `CONNECT <port>\n` with `OK <port>\n`, or closes the connection if nothing listens on the port.
 *
 * @param udsPath unix socket of the guest's vsock device
 * @throws CocosError VSOCK_CONNECT if nothing listens on the port, or after `timeoutMs` in total
 */
export async function connectHybrid(
  udsPath: string,
  port: number,
  options: { readonly timeoutMs?: number } & Buffering = {},
): Promise<net.Socket> {
  const deadline = performance.now() + (options.timeoutMs ?? CONNECT_TIMEOUT_MS);
  const { highWaterMark } = options;
  const buffer = highWaterMark === undefined ? {} : { highWaterMark };
  const socket = await connectUnix(udsPath, deadline - performance.now(), buffer);
  try {
    await handshake(socket, port, deadline - performance.now());
  } catch (cause) {
    socket.destroy();
    throw new CocosError('VSOCK_CONNECT', `Nothing in the guest accepts connections on vsock port ${port}.`, {
      cause,
    });
  }
  return socket;
}

function handshake(socket: net.Socket, port: number, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let answer = Buffer.alloc(0);
    const settle = (error?: Error): void => {
      clearTimeout(timer);
      socket.off('readable', read).off('close', closed).off('end', closed).off('error', settle);
      if (error === undefined) resolve();
      else reject(error);
    };
    const closed = (): void => settle(new Error('the daemon closed the connection'));
    const read = (): void => {
      for (let chunk = readBytes(socket); chunk !== null; chunk = readBytes(socket)) {
        answer = Buffer.concat([answer, chunk]);
        const end = answer.indexOf(LINE_FEED);
        if (end === -1 && answer.length <= ANSWER_LIMIT) continue;
        const line = answer.toString('latin1', 0, Math.max(end, 0));
        if (!/^OK [0-9]{1,10}$/.test(line)) return settle(new Error('the daemon gave an unknown answer'));
        settle();
        // Bytes after the answer belong to the stream.
        const rest = answer.subarray(end + 1);
        if (rest.length > 0) socket.unshift(rest);
        return;
      }
    };
    const timer = setTimeout(() => settle(new Error('timed out')), timeoutMs);
    // Kept for the lifetime of the socket: an error before its owner listens would end the process.
    socket.on('error', () => socket.destroy());
    socket.on('readable', read).on('close', closed).on('end', closed).on('error', settle);
    socket.write(`CONNECT ${port}\n`);
  });
}

function readBytes(socket: net.Socket): Buffer | null {
  const chunk: unknown = socket.read();
  return Buffer.isBuffer(chunk) ? chunk : null;
}

/**
 * Receives the guest's connections to the host's vsock port: vhost-device-vsock passes them to the unix
 * socket `<udsPath>_<port>`.
 *
 * @throws CocosError HOST_PORT_TAKEN when another process listens there, CONFIG_INVALID when the path is too long
 */
export function listenHybrid(
  udsPath: string,
  port: number,
  onConnection: (socket: net.Socket) => void,
): Promise<Listener> {
  return listenUnix(`${udsPath}_${port}`, onConnection);
}

/** The ports of one guest, by the unix socket of its vsock device. */
export function hybridTransport(udsPath: string): Transport {
  return {
    connect: (port, options) => connectHybrid(udsPath, port, options),
    listen: (port, onConnection) => listenHybrid(udsPath, port, onConnection),
    dialOf: (port) => ({ unix: udsPath, vsockPort: port }),
  };
}
