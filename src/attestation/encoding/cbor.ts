import { decode, encode, rfc8949EncodeOptions } from 'cborg';
import type { z } from 'zod';
import { CocosError } from '../../errors.ts';
import { sameBytes } from './bytes.ts';

/**
 * Deterministic CBOR (RFC 8949 section 4.2.1): shortest lengths, definite sizes, sorted and unique text keys, no
 * floats, no tags. Hashed or signed bytes have exactly one encoding, so the decoder accepts only that one.
 */

/** Encodes plain data. Members that are `undefined` are omitted. */
export function encodeDeterministic(value: unknown): Uint8Array {
  // The library may return a view of a Buffer, so this copies it.
  return new Uint8Array(encode(value, { ...rfc8949EncodeOptions, ignoreUndefinedProperties: true }));
}

/**
 * Decodes and checks one deterministic CBOR item that fills `bytes`.
 *
 * @param limit largest number of bytes that is looked at.
 * @throws CocosError EVIDENCE_INVALID for anything else: too long, trailing bytes, another encoding of the same
 * value, unknown or missing members.
 */
export function decodeDeterministic<S extends z.ZodType>(
  bytes: Uint8Array,
  schema: S,
  limit: number,
  what: string,
): z.infer<S> {
  if (bytes.length > limit) throw new CocosError('EVIDENCE_INVALID', `${what} is larger than ${limit} bytes`);
  let value: unknown;
  let canonical: Uint8Array;
  try {
    value = decode(bytes, {
      strict: true,
      allowIndefinite: false,
      allowUndefined: false,
      allowInfinity: false,
      allowNaN: false,
      rejectDuplicateMapKeys: true,
    });
    canonical = encodeDeterministic(value);
  } catch (cause) {
    // Deep nesting ends in a RangeError, everything else in the library's own errors.
    throw new CocosError('EVIDENCE_INVALID', `${what} is not CBOR`, { cause });
  }
  if (!sameBytes(bytes, canonical)) {
    throw new CocosError('EVIDENCE_INVALID', `${what} is not in deterministic encoding`);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    const paths = parsed.error.issues.map((issue) => issue.path.join('.') || '(top)');
    throw new CocosError('EVIDENCE_INVALID', `${what} does not have the documented format`, {
      cause: parsed.error,
      details: { paths: [...new Set(paths)].slice(0, 8) },
    });
  }
  return parsed.data;
}
