import type net from 'node:net';
import { connectHybrid } from './hybrid-vsock.ts';
import { CONNECT_TIMEOUT_MS, type Dial } from './transport.ts';
import { connectUnix } from './unix.ts';

/** Connects to the target of a transport's `connect`. @throws CocosError VSOCK_CONNECT */
export function connectDial({ unix, vsockPort }: Dial, highWaterMark: number): Promise<net.Socket> {
  return vsockPort === null
    ? connectUnix(unix, CONNECT_TIMEOUT_MS, { highWaterMark })
    : connectHybrid(unix, vsockPort, { highWaterMark });
}
