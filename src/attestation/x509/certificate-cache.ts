import { bytesToHex } from '@noble/hashes/utils.js';
import type { AttestationHashes } from '../../crypto/crypto-port.ts';
import { sameBytes } from '../encoding/bytes.ts';
import { type Certificate, parseCertificate } from './certificate.ts';
import { parseCrl, type RevocationList } from './crl.ts';

const DEFAULT_LIMIT = 1024;

interface Entry {
  readonly bytes: Uint8Array;
  readonly value: object;
}

/** FNV-1a over some of the bytes: it only sorts entries into buckets, in which all bytes are compared. */
function bucketOf(bytes: Uint8Array): number {
  let hash = 0x811c9dc5 ^ bytes.length;
  const step = Math.max(1, bytes.length >> 6);
  for (let i = 0; i < bytes.length; i += step) hash = Math.imul(hash ^ (bytes[i] ?? 0), 0x01000193);
  return hash >>> 0;
}

/** Parsed values of one kind, by their bytes. The oldest are evicted first. */
class Parsed<T extends object> {
  readonly #limit: number;
  readonly #parser: (bytes: Uint8Array) => T;
  readonly #buckets = new Map<number, { readonly bytes: Uint8Array; readonly value: T }[]>();
  #size = 0;

  constructor(limit: number, parser: (bytes: Uint8Array) => T) {
    this.#limit = limit;
    this.#parser = parser;
  }

  get size(): number {
    return this.#size;
  }

  get(bytes: Uint8Array): T {
    const id = bucketOf(bytes);
    const known = this.#buckets.get(id);
    const before = known?.find((entry: Entry) => sameBytes(entry.bytes, bytes));
    if (before !== undefined) return before.value;
    // A copy: the caller may change its buffer.
    const own = Uint8Array.from(bytes);
    const value = this.#parser(own);
    if (this.#size >= this.#limit) this.#dropOldest();
    this.#buckets.set(id, [...(this.#buckets.get(id) ?? []), { bytes: own, value }]);
    this.#size += 1;
    return value;
  }

  #dropOldest(): void {
    const [oldest] = this.#buckets;
    if (oldest === undefined) return;
    this.#buckets.delete(oldest[0]);
    this.#size -= oldest[1].length;
  }
}

/**
 * Parsed certificates and revocation lists, and verified signatures, so that the constant parts of evidence are cheap to
 * appraise again. The cache holds no trust: a chain is still built and appraised again for
 * each piece of evidence, with its own time and policy.
 */
export class CertificateCache {
  readonly #certificates: Parsed<Certificate>;
  readonly #lists: Parsed<RevocationList>;
  readonly #others = new Map<(bytes: Uint8Array) => object, Parsed<object>>();
  readonly #limit: number;
  /** Issuers that signed an item; keyed by the parsed objects, which are one for each byte string. */
  readonly #derived = new WeakMap<Certificate, Map<(certificate: Certificate) => object, object>>();
  readonly #signed = new WeakMap<object, Set<Certificate>>();
  readonly #fingerprints = new WeakMap<Certificate, string>();

  /** @param limit largest number of items of each kind that are remembered. */
  constructor(limit: number = DEFAULT_LIMIT) {
    this.#limit = limit;
    this.#certificates = new Parsed(limit, parseCertificate);
    this.#lists = new Parsed(limit, parseCrl);
  }

  get size(): number {
    return this.#certificates.size + this.#lists.size;
  }

  /** @throws CocosError EVIDENCE_INVALID */
  certificate(der: Uint8Array): Certificate {
    return this.#certificates.get(der);
  }

  /** @throws CocosError EVIDENCE_INVALID */
  revocationList(der: Uint8Array): RevocationList {
    return this.#lists.get(der);
  }

  /**
   * Any other signed item, by the parser that reads it.
   *
   * @throws whatever the parser does.
   */
  item<T extends object>(bytes: Uint8Array, parser: (bytes: Uint8Array) => T): T {
    const known = this.#others.get(parser) ?? new Parsed<object>(this.#limit, parser);
    this.#others.set(parser, known);
    // The map is keyed by the parser, so its values have the parser's type.
    return known.get(bytes) as T;
  }

  /**
   * Reads additional data from a certificate, once per certificate and reader.
   *
   * @throws whatever the reader does.
   */
  derived<T extends object>(certificate: Certificate, reader: (certificate: Certificate) => T): T {
    const known = this.#derived.get(certificate) ?? new Map();
    this.#derived.set(certificate, known);
    const before = known.get(reader);
    // The map is keyed by the reader, so its values have the reader's type.
    if (before !== undefined) return before as T;
    const value = reader(certificate);
    known.set(reader, value);
    return value;
  }

  /** SHA-256 of a certificate, hex: what a policy pins. */
  fingerprint(certificate: Certificate, { sha256 }: Pick<AttestationHashes, 'sha256'>): string {
    const before = this.#fingerprints.get(certificate);
    if (before !== undefined) return before;
    const digest = bytesToHex(sha256(certificate.der));
    this.#fingerprints.set(certificate, digest);
    return digest;
  }

  /** Whether the issuer's signature on the item was right before. */
  knows(item: object, issuer: Certificate): boolean {
    return this.#signed.get(item)?.has(issuer) === true;
  }

  /** Stores a valid signature; invalid ones are never stored. */
  remember(item: object, issuer: Certificate): void {
    const issuers = this.#signed.get(item) ?? new Set();
    this.#signed.set(item, issuers.add(issuer));
  }
}
