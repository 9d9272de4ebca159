import net from 'node:net';
import { CocosError } from '../../errors.ts';

interface TcpHandle {
  open(fd: number): number;
}

interface TcpWrap {
  readonly TCP: new (type: number) => TcpHandle;
  readonly constants: { readonly SOCKET: number };
}

/**
 * An ordinary `net.Socket` over a connected stream-socket descriptor of any family, which it owns from then on.
 *
 * `new net.Socket({ fd })` throws for a family that Node does not know. Its TCP handle, however, only reads, writes
 * and polls, and never checks the family. So the event loop does not block, and back-pressure works as usual.
 *
 * @throws CocosError HOST_VSOCK_MISSING if this version of Node has no such handle or the handle refuses the descriptor
 */
export function socketFromFd(fd: number): net.Socket {
  const { TCP, constants } = tcpWrap();
  const handle = new TCP(constants.SOCKET);
  const status = handle.open(fd);
  if (status !== 0)
    throw new CocosError('HOST_VSOCK_MISSING', `Node refuses the vsock descriptor (error ${status}).`);
  // The type declarations omit the constructor's option `handle`.
  const options: net.SocketConstructorOpts = { readable: true, writable: true };
  return new net.Socket(Object.assign(options, { handle }));
}

function tcpWrap(): TcpWrap {
  const binding: unknown = Reflect.get(process, 'binding');
  const module: unknown = typeof binding === 'function' ? binding.call(process, 'tcp_wrap') : undefined;
  if (!isTcpWrap(module))
    throw new CocosError(
      'HOST_VSOCK_MISSING',
      'This version of Node provides no TCP handle; use Node.js 20 or 22.',
    );
  return module;
}

function isTcpWrap(value: unknown): value is TcpWrap {
  if (typeof value !== 'object' || value === null || !('TCP' in value) || !('constants' in value))
    return false;
  const { constants } = value;
  return typeof constants === 'object' && constants !== null && 'SOCKET' in constants;
}
