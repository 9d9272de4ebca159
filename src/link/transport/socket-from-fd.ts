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
 * Node accepts no descriptor of a family it does not know (`new net.Socket({ fd })` throws), yet its TCP
 * handle only reads, writes and polls, and never asks for the family. So the event loop does not block and
 * back-pressure is that of any socket.
 *
 * @throws CocosError HOST_VSOCK_MISSING when this version of Node has no such handle or it refuses the descriptor
 */
export function socketFromFd(fd: number): net.Socket {
  const { TCP, constants } = tcpWrap();
  const handle = new TCP(constants.SOCKET);
  const status = handle.open(fd);
  if (status !== 0)
    throw new CocosError('HOST_VSOCK_MISSING', `The descriptor cannot be driven (error ${status}).`);
  // `handle` is an option of the constructor that the type declarations leave out.
  const options: net.SocketConstructorOpts = { readable: true, writable: true };
  return new net.Socket(Object.assign(options, { handle }));
}

function tcpWrap(): TcpWrap {
  const binding: unknown = Reflect.get(process, 'binding');
  const module: unknown = typeof binding === 'function' ? binding.call(process, 'tcp_wrap') : undefined;
  if (!isTcpWrap(module))
    throw new CocosError('HOST_VSOCK_MISSING', 'This version of Node has no TCP handle to use.');
  return module;
}

function isTcpWrap(value: unknown): value is TcpWrap {
  if (typeof value !== 'object' || value === null || !('TCP' in value) || !('constants' in value))
    return false;
  const { constants } = value;
  return typeof constants === 'object' && constants !== null && 'SOCKET' in constants;
}
