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

/** A list of at least one such text: the values that are accepted. */
export function hexListOf(length: number) {
  return z.array(hexOf(length)).min(1).max(256);
}

/** `sha256:` and hex. */
export const Sha256Text = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'must be sha256: and 64 hex digits');

/** An instant in ISO 8601 with seconds, in UTC. */
export const InstantText = z
  .string()
  .regex(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/, 'must be YYYY-MM-DDThh:mm:ssZ');
