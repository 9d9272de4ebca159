import { setTimeout as delay } from 'node:timers/promises';
import { CocosError } from '../../errors.ts';
import type { Disclosure } from '../../machines/manifest.ts';
import { systemClock } from '../../runtime/clock.ts';

/** Bounds what the host learns of a run, as the manifest demands. */

export function publishedExitCode(exitCode: number, disclosure: Disclosure | undefined): number {
  return disclosure?.exitCode === 'binary' ? Math.min(exitCode, 1) : exitCode;
}

/**
 * A failure as published. Under `exitCode: binary` all look the same, since an algorithm can cause most of them at will,
 * for example by filling the memory; not so a run that somebody stopped.
 */
export function publishedFailure(error: CocosError, disclosure: Disclosure | undefined): CocosError {
  if (disclosure?.exitCode !== 'binary' || error.code === 'CANCELLED') return error;
  return new CocosError('ALGORITHM_FAILED', 'The algorithm failed.', { details: { exitCode: 1 } });
}

/** The time of a run as published: rounded up, but not beyond the time limit. */
export function publishedMs(elapsedMs: number, limitMs: number, disclosure: Disclosure | undefined): number {
  const step = (disclosure?.runTimeSeconds ?? 0) * 1_000;
  if (step === 0) return elapsedMs;
  return Math.max(elapsedMs, Math.min(Math.ceil(elapsedMs / step) * step, limitMs));
}

/**
 * Waits until the published end of a run, since the host sees when the end is published. Returns that time.
 *
 * @throws CocosError CANCELLED if the signal aborts meanwhile
 */
export async function awaitPublishedEnd(
  startedMs: number,
  limitMs: number,
  disclosure: Disclosure | undefined,
  signal: AbortSignal,
): Promise<number> {
  const endedMs = startedMs + publishedMs(systemClock.monotonic() - startedMs, limitMs, disclosure);
  for (let left = endedMs - systemClock.monotonic(); left > 0; left = endedMs - systemClock.monotonic()) {
    await delay(left, undefined, { signal }).catch(() => {
      throw new CocosError('CANCELLED', 'The run was aborted on request.');
    });
  }
  return endedMs;
}

/** Bytes of a result of `size` bytes with its padding. */
export function paddedSize(size: number, padding: Disclosure['resultPadding']): number {
  if (padding === undefined || padding === 'none') return size;
  if (padding === 'powerOfTwo') return 2 ** Math.ceil(Math.log2(Math.max(size, 1)));
  return Math.ceil(size / padding) * padding;
}

const ZEROS = new Uint8Array(64 * 1024);

/** Zeros in chunks. */
export function* zeros(length: number): Generator<Uint8Array> {
  for (let left = length; left > 0; left -= ZEROS.length)
    yield ZEROS.subarray(0, Math.min(left, ZEROS.length));
}
