import { createHash, getHashes } from 'node:crypto';
import { sha256 as portableSha256 } from '@noble/hashes/sha2.js';
import { sha3_256 as portableSha3 } from '@noble/hashes/sha3.js';
import { CocosError } from '../errors.ts';
import { fromHex, toHex, utf8 } from './bytes.ts';

/** SHA-256 digests in their text form, and canonical JSON (RFC 8785). */

/** Maximum nesting of a canonical value; a manifest needs four levels. */
const MAX_JSON_DEPTH = 64;

/** SHA-256 of the bytes, 32 bytes. */
export function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(bytes).digest());
}

/** SHA-256 of the bytes as `sha256:` and 64 lower-case hex digits. */
export function sha256Text(bytes: Uint8Array): string {
  return `sha256:${toHex(sha256(bytes))}`;
}

/** SHA-256 is the project's own; SHA3-256 is for manifests of the Go CocosAI. */
export type DigestName = 'sha256' | 'sha3-256';

/** The function of a digest in text form. @throws CocosError INPUT_INVALID */
export function digestNameOf(text: string): DigestName {
  const name = text.slice(0, text.indexOf(':'));
  if (name === 'sha256' || name === 'sha3-256') return name;
  throw new CocosError('INPUT_INVALID', "A digest begins with 'sha256:' or 'sha3-256:'.");
}

/** An incremental digest that counts its input. */
export interface Digest {
  /** Bytes hashed so far. */
  readonly size: number;
  update(bytes: Uint8Array): void;
  /** Text form of the digest; no more input is accepted afterwards. */
  finish(): string;
}

/** Starts an incremental digest for inputs that do not fit in memory; native if the runtime supports it. */
export function createDigest(name: DigestName = 'sha256'): Digest {
  const hash = getHashes().includes(name) ? createHash(name) : portableHash(name);
  let size = 0;
  return {
    get size() {
      return size;
    },
    update(bytes) {
      hash.update(bytes);
      size += bytes.length;
    },
    finish: () => `${name}:${toHex(hash.digest())}`,
  };
}

/** The portable implementation. */
export function portableHash(name: DigestName) {
  return name === 'sha256' ? portableSha256.create() : portableSha3.create();
}

/** The 32 bytes of a digest in text form. @throws CocosError INPUT_INVALID */
export function digestFromText(text: string): Uint8Array {
  const match = /^sha256:([0-9a-f]{64})$/.exec(text);
  if (match?.[1] === undefined) {
    throw new CocosError('INPUT_INVALID', "A digest consists of 'sha256:' and 64 lower-case hex digits.");
  }
  return fromHex(match[1]);
}

/**
 * Canonical JSON of a value (RFC 8785, the JSON Canonicalization Scheme): no white space, keys sorted by UTF-16 code
 * units, numbers and strings as in ECMAScript. Undefined properties are omitted.
 * @throws CocosError INPUT_INVALID for anything that JSON cannot represent: NaN, infinities, functions, bigint, class
 * instances, lone surrogates, undefined other than as a property, nesting deeper than 64
 */
export function canonicalJson(value: unknown): string {
  return write(value, 0);
}

/** SHA-256 over the canonical JSON of a value, in text form. For a manifest this is its digest. */
export function canonicalDigest(value: unknown): string {
  return sha256Text(utf8(canonicalJson(value)));
}

function write(value: unknown, depth: number): string {
  if (depth > MAX_JSON_DEPTH)
    throw new CocosError('INPUT_INVALID', 'The value is nested too deeply for JSON.');
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'number' && Number.isFinite(value)) return JSON.stringify(value);
  if (typeof value === 'string') return writeText(value);
  if (Array.isArray(value)) return `[${value.map((item) => write(item, depth + 1)).join(',')}]`;
  if (typeof value === 'object' && isPlain(value)) {
    const members = Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => `${writeText(key)}:${write(item, depth + 1)}`);
    return `{${members.join(',')}}`;
  }
  throw new CocosError('INPUT_INVALID', `JSON cannot represent a value of type '${typeof value}'.`);
}

/** RFC 8785 section 3.2.2.2: a lone surrogate is an error, since it has no UTF-8 form to hash. */
function writeText(text: string): string {
  if (/\p{Surrogate}/u.test(text))
    throw new CocosError('INPUT_INVALID', 'A string contains a lone surrogate.');
  return JSON.stringify(text);
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
