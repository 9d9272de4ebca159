import type { Duplex } from 'node:stream';

/** Byte streams between a host and one guest, by port: vsock, or what stands for it. */
export interface Transport {
  /** @throws CocosError VSOCK_CONNECT when nobody listens there, or not in time. */
  connect(port: number, options?: { readonly timeoutMs?: number }): Promise<Duplex>;
  /** @throws CocosError HOST_PORT_TAKEN when the port is in use. */
  listen(port: number, onConnection: (stream: Duplex) => void): Promise<Listener>;
  /** Where `connect` goes, so that another thread can go there; absent where streams come to this one only. */
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
