import { CocosError } from '../errors.ts';

/** Names that an archive may contain. Packing applies the same checks as unpacking, so that its archives unpack. */

/** Longest path in bytes, longest part of it, and deepest nesting. */
export const MAX_NAME_BYTES = 1024;
const MAX_PART_BYTES = 255;
const MAX_DEPTH = 32;

/**
 * The normalized path of an entry: `a/b`, without a leading `./` or a trailing slash; empty for the root of the
 * archive.
 * @throws CocosError ARCHIVE_UNSAFE for a path that is absolute, has `..`, `.` or an empty part, a control
 * character, a backslash, bytes that are not UTF-8, or more than 1024 bytes, 255 a part or 32 parts
 */
export function plainEntryName(name: string): string {
  const plain = name.replace(/^(\.\/+)+/, '').replace(/\/+$/, '');
  if (plain === '' || plain === '.') {
    if (name.startsWith('/') || name === '') throw unsafe(name, 'is absolute or empty');
    return '';
  }
  if (Buffer.byteLength(plain) > MAX_NAME_BYTES) throw unsafe(name, `has more than ${MAX_NAME_BYTES} bytes`);
  // The replacement character marks bytes that are not UTF-8; two different names could become equal.
  if (/[\p{Cc}\\\uFFFD\p{Surrogate}]/u.test(plain)) throw unsafe(name, 'has a character that is not allowed');
  const parts = plain.split('/');
  if (parts.length > MAX_DEPTH) throw unsafe(name, `is nested deeper than ${MAX_DEPTH}`);
  for (const part of parts) {
    if (part === '' || part === '.' || part === '..') throw unsafe(name, 'leaves its folder or is absolute');
    if (Buffer.byteLength(part) > MAX_PART_BYTES)
      throw unsafe(name, `has a part of more than ${MAX_PART_BYTES} bytes`);
  }
  return plain;
}

function unsafe(name: string, why: string): CocosError {
  return new CocosError('ARCHIVE_UNSAFE', `The archive path ${JSON.stringify(name.slice(0, 200))} ${why}.`);
}
