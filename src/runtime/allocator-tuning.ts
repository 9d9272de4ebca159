/** Just below the largest chunk that moves the threshold (glibc, 64-bit); twice as much is kept then. */
const CHUNK_BYTES = 31 * 2 ** 20;

/**
 * Makes the allocator keep the memory that native ciphers and sockets free.
 *
 * Every piece that a cipher gives back is fresh memory. glibc returns freed memory to the kernel beyond a threshold of
 * 128 KiB, and the kernel hands it out again page by page, zeroed, which can cost more than the cipher. The threshold
 * grows with the largest chunk that was freed (mallopt(3), M_MMAP_THRESHOLD), so one is freed here. It is never touched,
 * and costs nothing; with another allocator nothing changes.
 */
export function keepFreedMemory(): void {
  const { buffer } = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  const { port1, port2 } = new MessageChannel();
  // The only way to free memory at once, without waiting for the collector: its owner is gone when the port closes.
  port1.postMessage(buffer, [buffer]);
  port1.close();
  port2.close();
}
