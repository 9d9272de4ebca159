import { z } from 'zod';

/** Byte strings of a fixed or bounded length, as members of CBOR and msgpack structures. */
export function bytesOf(length: number) {
  return z.custom<Uint8Array>(
    (value) => value instanceof Uint8Array && value.length === length,
    `must be ${length} bytes`,
  );
}

export function bytesUpTo(limit: number) {
  return z.custom<Uint8Array>(
    (value) => value instanceof Uint8Array && value.length > 0 && value.length <= limit,
    `must be 1 to ${limit} bytes`,
  );
}

/** Lower-case hex text of exactly `length` bytes. */
export function hexOf(length: number) {
  return z.string().regex(new RegExp(`^[0-9a-f]{${length * 2}}$`), `must be ${length} bytes in hex`);
}
