import { CocosError } from '../../errors.ts';

/**
 * A strict reader of DER (ITU-T X.690): definite and shortest lengths, single-byte tags, nothing left over. It never
 * recurses: callers walk the structure they expect, so depth is bounded by the caller's own code.
 */

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Tag of a constructed context-specific element `[n]`. */
export const contextTag = (n: number): number => 0xa0 | n;

export interface DerValue {
  readonly tag: number;
  readonly content: Uint8Array;
  /** Tag, length and content of the input. */
  readonly encoded: Uint8Array;
}

/** An element of the input; views are created on demand, since most are not needed. */
class Found implements DerValue {
  readonly tag: number;
  readonly #bytes: Uint8Array;
  readonly #start: number;
  readonly #body: number;
  readonly #end: number;
  #content: Uint8Array | undefined;

  constructor(tag: number, bytes: Uint8Array, start: number, body: number, end: number) {
    this.tag = tag;
    this.#bytes = bytes;
    this.#start = start;
    this.#body = body;
    this.#end = end;
  }

  get content(): Uint8Array {
    this.#content ??= this.#bytes.subarray(this.#body, this.#end);
    return this.#content;
  }

  get encoded(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#end);
  }
}

/** Error of all X.509 parsing: code EVIDENCE_INVALID. */
export function derError(sentence: string, cause?: unknown): CocosError {
  return new CocosError('EVIDENCE_INVALID', sentence, { cause });
}

/** Reads the elements of one DER content, in order. Every method throws EVIDENCE_INVALID on a breach of DER. */
export class DerReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  #byte(): number {
    const value = this.#bytes[this.#at];
    if (value === undefined) throw derError('DER ends inside an element');
    this.#at += 1;
    return value;
  }

  #length(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    const count = first & 0x7f;
    // 0 is the indefinite form; more than three bytes cannot occur below the size limit of evidence.
    if (count === 0 || count > 3) throw derError('DER length is indefinite or too large');
    let length = 0;
    for (let i = 0; i < count; i += 1) length = length * 256 + this.#byte();
    if (length < 0x80 || length < 2 ** (8 * (count - 1))) throw derError('DER length is not the shortest');
    return length;
  }

  /** Next element, whatever its tag. */
  next(): DerValue {
    const start = this.#at;
    const tag = this.#byte();
    if ((tag & 0x1f) === 0x1f) throw derError('DER tag has more than one byte');
    const length = this.#length();
    const end = this.#at + length;
    if (end > this.#bytes.length) throw derError('DER element is longer than its container');
    const body = this.#at;
    this.#at = end;
    return new Found(tag, this.#bytes, start, body, end);
  }

  /** Next element, which must have this tag. */
  expect(tag: number, what: string): DerValue {
    const value = this.next();
    if (value.tag !== tag) throw derError(`${what} has DER tag ${value.tag}, expected ${tag}`);
    return value;
  }

  /** Next element if it has this tag. */
  optional(tag: number): DerValue | undefined {
    return this.#bytes[this.#at] === tag ? this.next() : undefined;
  }

  /** Asserts that nothing is left. */
  end(what: string): void {
    if (!this.done) throw derError(`${what} is followed by ${this.#bytes.length - this.#at} bytes`);
  }
}

/** The one element that fills `bytes` completely. */
export function readOnly(bytes: Uint8Array, tag: number, what: string): DerValue {
  const reader = new DerReader(bytes);
  const value = reader.expect(tag, what);
  reader.end(what);
  return value;
}

/** Content of an INTEGER, which must be the shortest two's complement encoding. */
export function integerContent(value: DerValue, what: string): Uint8Array {
  const [first, second] = value.content;
  if (value.tag !== TAG.integer || first === undefined) throw derError(`${what} is not an INTEGER`);
  if (second !== undefined) {
    const redundant = (first === 0 && second < 0x80) || (first === 0xff && second >= 0x80);
    if (redundant) throw derError(`${what} is not in shortest form`);
  }
  return value.content;
}

/** A non-negative INTEGER of at most four bytes as a number. */
export function smallInteger(value: DerValue, what: string): number {
  const content = integerContent(value, what);
  if (content.length > 4 || (content[0] ?? 0) >= 0x80) throw derError(`${what} is negative or too large`);
  return content.reduce((sum, byte) => sum * 256 + byte, 0);
}

/** OBJECT IDENTIFIER in dotted notation (X.690 8.19). */
export function oidText(value: DerValue, what: string): string {
  if (value.tag !== TAG.oid || value.content.length === 0 || value.content.length > 32) {
    throw derError(`${what} is not an OBJECT IDENTIFIER`);
  }
  const arcs: number[] = [];
  let arc = 0;
  let open = false;
  for (const byte of value.content) {
    if (!open && byte === 0x80) throw derError(`${what} has an arc with leading zeros`);
    arc = arc * 128 + (byte & 0x7f);
    if (arc > 0xffffffff) throw derError(`${what} has an arc above 32 bits`);
    open = byte >= 0x80;
    if (!open) {
      arcs.push(arc);
      arc = 0;
    }
  }
  const head = arcs.shift();
  if (open || head === undefined) throw derError(`${what} ends inside an arc`);
  const top = Math.min(Math.floor(head / 40), 2);
  return [top, head - 40 * top, ...arcs].join('.');
}

/** Bytes of a BIT STRING without unused bits. */
export function bitStringBytes(value: DerValue, what: string): Uint8Array {
  if (value.tag !== TAG.bitString || value.content[0] !== 0) {
    throw derError(`${what} is not a BIT STRING of whole bytes`);
  }
  return value.content.subarray(1);
}
