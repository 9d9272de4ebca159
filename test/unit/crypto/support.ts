import { expect } from 'vitest';
import { CocosError, type ErrorCode } from '../../../src/errors.ts';

/** The code of the CocosError that `run` throws; anything else fails the test. */
export function codeOf(run: () => unknown): ErrorCode {
  try {
    run();
  } catch (error) {
    if (error instanceof CocosError) return error.code;
    throw error;
  }
  return expect.fail('nothing was thrown');
}

/** As `codeOf`, for asynchronous work. */
export async function codeOfAsync(run: () => Promise<unknown>): Promise<ErrorCode> {
  try {
    await run();
  } catch (error) {
    if (error instanceof CocosError) return error.code;
    throw error;
  }
  return expect.fail('nothing was thrown');
}

/** A copy with one bit of byte `at` flipped. */
export function flip(bytes: Uint8Array, at = 0): Uint8Array {
  const out = Uint8Array.from(bytes);
  const index = at < 0 ? out.length + at : at;
  out[index] = (out[index] ?? 0) ^ 1;
  return out;
}

/** The bytes in chunks of `size`. */
export async function* chunked(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** Everything an async iterable yields. */
export async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const item of source) out.push(item);
  return out;
}

/** Items as an async iterable. */
export async function* from<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}
