import { type SealedSegment, SegmentOpener, type SegmentParameters, SegmentSealer } from './segments.ts';

/** Segment streams over async iterables. They use the memory of two segments, regardless of the chunk size. */

/**
 * Splits a byte stream into sealed segments. To resume, pass the index of the next segment and a source that starts at
 * byte `startIndex * segmentSize` of the same content.
 * @throws CocosError as SegmentSealer, or what the source throws
 */
export async function* sealStream(
  source: AsyncIterable<Uint8Array>,
  parameters: SegmentParameters,
  startIndex = 0,
): AsyncGenerator<SealedSegment, void, undefined> {
  const sealer = new SegmentSealer(parameters, startIndex);
  const { segmentSize } = sealer;
  const pending = new Uint8Array(segmentSize);
  let filled = 0;
  for await (const chunk of source) {
    let at = 0;
    while (at < chunk.length) {
      // A full segment waits for another byte: without one it is the last.
      if (filled === segmentSize) {
        yield sealer.seal(pending, false);
        filled = 0;
      }
      const take = Math.min(segmentSize - filled, chunk.length - at);
      pending.set(chunk.subarray(at, at + take), filled);
      filled += take;
      at += take;
    }
  }
  yield sealer.seal(pending.subarray(0, filled), true);
}

/**
 * Opens sealed segments: one chunk of plaintext for each segment that is not empty.
 * @throws CocosError as SegmentOpener, STREAM_TRUNCATED if the source ends early, or what the source throws
 */
export async function* openStream(
  segments: AsyncIterable<SealedSegment>,
  parameters: SegmentParameters,
  startIndex = 0,
): AsyncGenerator<Uint8Array, void, undefined> {
  const opener = new SegmentOpener(parameters, startIndex);
  for await (const segment of segments) {
    const plaintext = opener.open(segment.bytes, segment.index, segment.last);
    if (plaintext.length > 0) yield plaintext;
  }
  opener.finish();
}
