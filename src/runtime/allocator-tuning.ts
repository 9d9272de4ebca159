/** Just below the largest chunk that raises the threshold (glibc, 64-bit). The allocator then keeps twice as much. */
const CHUNK_BYTES = 31 * 2 ** 20;

/**
 * Makes the allocator keep the memory that native ciphers and sockets free.
 *
 * Every chunk that a cipher returns is newly allocated. glibc returns freed memory above a threshold of 128 KiB to the
 * kernel, which zeroes each page before it hands it out again. That can cost more than the cipher. The threshold grows
 * with the largest freed chunk (mallopt(3), M_MMAP_THRESHOLD), so this function frees a large one. The chunk is never
 * touched and costs nothing. Other allocators are not affected.
 */
export function keepFreedMemory(): void {
  const { buffer } = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  const { port1, port2 } = new MessageChannel();
  // Transferring the buffer to a closed port frees it immediately, without garbage collection.
  port1.postMessage(buffer, [buffer]);
  port1.close();
  port2.close();
}
