import { CocosError } from '../../errors.ts';

/** Reads fixed and length-prefixed fields in order; every read beyond the end is an error of the evidence. */
export class BinaryReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #what: string;
  readonly #little: boolean;
  readonly #check: string | undefined;
  #at = 0;

  /**
   * @param what name of the structure, for errors.
   * @param order byte order of its integers.
   * @param check the check that its errors fail, if it is a specific one
   */
  constructor(bytes: Uint8Array, what: string, order: 'little' | 'big', check?: string) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
    this.#little = order === 'little';
    this.#check = check;
  }

  get offset(): number {
    return this.#at;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  /** An error of this structure; `check` names the check that it fails, where that is not the one of the structure. */
  error(sentence: string, check = this.#check): CocosError {
    const details = check === undefined ? {} : { details: { check } };
    return new CocosError('EVIDENCE_INVALID', `${this.#what}: ${sentence}`, details);
  }

  #advance(size: number, field: string): number {
    if (size > this.left) throw this.error(`ends inside ${field}`);
    const start = this.#at;
    this.#at += size;
    return start;
  }

  /** A view of the next `size` bytes. @throws CocosError EVIDENCE_INVALID */
  bytes(size: number, field: string): Uint8Array {
    const start = this.#advance(size, field);
    return this.#bytes.subarray(start, start + size);
  }

  u8(field: string): number {
    return this.#view.getUint8(this.#advance(1, field));
  }

  u16(field: string): number {
    return this.#view.getUint16(this.#advance(2, field), this.#little);
  }

  u32(field: string): number {
    return this.#view.getUint32(this.#advance(4, field), this.#little);
  }

  u64(field: string): bigint {
    return this.#view.getBigUint64(this.#advance(8, field), this.#little);
  }

  /** Everything that is left. */
  rest(): Uint8Array {
    return this.bytes(this.left, 'the rest');
  }

  /** Asserts that nothing is left. */
  end(): void {
    if (this.left !== 0) throw this.error(`${this.left} bytes follow`);
  }
}
