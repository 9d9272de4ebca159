/** vsock ports between the guest of the vsock test and its host. */
export const GUEST_PORTS = {
  echo: 7010,
  sink: 7011,
  source: 7012,
  lag: 7013,
  inspect: 7014,
  exit: 7015,
  reopened: 7016,
} as const;
/** `silent` has no listener. */
export const HOST_PORTS = { ready: 9000, silent: 9999 } as const;

const CHUNK = 64 * 1024;

/** Bytes that differ from chunk to chunk, so that a lost, doubled or swapped one shows in a digest. */
export function* pattern(length: number): Generator<Buffer> {
  for (let at = 0; at < length; at += CHUNK) {
    const chunk = Buffer.alloc(Math.min(CHUNK, length - at), at / CHUNK);
    chunk.writeUInt32LE(at >>> 0, 0);
    yield chunk;
  }
}
