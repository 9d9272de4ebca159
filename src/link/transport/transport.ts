import type { Duplex } from 'node:stream';

/** Byte streams between a host and one guest, by port: vsock, or a substitute for it. */
export interface Transport {
  /** @throws CocosError VSOCK_CONNECT if nothing listens on the port, or after the timeout */
  connect(port: number, options?: { readonly timeoutMs?: number }): Promise<Duplex>;
  /** @throws CocosError HOST_PORT_TAKEN if the port is in use */
  listen(port: number, onConnection: (stream: Duplex) => void): Promise<Listener>;
  /** The target of `connect`, for use by another thread; absent if only this thread can receive the streams. */
  readonly dialOf?: (port: number) => Dial;
}

/** A unix socket, or a guest's vsock port behind that of its vsock device. */
export interface Dial {
  readonly unix: string;
  readonly vsockPort: number | null;
}

export interface Listener {
  close(): Promise<void>;
}

/** Well-known ports. The agent dials the first two on the host; the host dials the third in the guest. */
export const PORTS = {
  link: 9000,
  report: 9001,
  participants: 7002,
} as const;

export const CONNECT_TIMEOUT_MS = 5_000;
