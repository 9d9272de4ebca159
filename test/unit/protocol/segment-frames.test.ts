import { describe, expect, it } from 'vitest';
import { ByteReader } from '../../../src/crypto/byte-reader.ts';
import { concat, toHex, u32be, utf8 } from '../../../src/crypto/bytes.ts';
import { frameSegment, readSegments } from '../../../src/protocol/segment-frames.ts';
import { chunked, codeOfAsync, collect, from } from '../crypto/support.ts';

const first = { index: 0, last: false, bytes: new Uint8Array(20).fill(1) };
const second = { index: 1, last: true, bytes: new Uint8Array(16).fill(2) };
const stream = concat(frameSegment(first), frameSegment(second));

const read = (bytes: Uint8Array, chunk = 3, max?: number) =>
  collect(readSegments(new ByteReader(chunked(bytes, chunk)), 0, max));

describe('frameSegment', () => {
  it('writes the length first and sets the top bit for the last segment', () => {
    expect(toHex(frameSegment(first)).slice(0, 10)).toBe('0000001401');
    expect(toHex(frameSegment(second)).slice(0, 10)).toBe('8000001002');
  });
});

describe('readSegments', () => {
  it.each([1, 3, 1000])('reads framed segments from chunks of %i bytes', async (chunk) => {
    expect(await read(stream, chunk)).toEqual([first, second]);
  });

  it('numbers from the start index and leaves trailing bytes in the reader', async () => {
    const reader = new ByteReader(from([concat(stream, utf8('rest'))]));
    const segments = await collect(readSegments(reader, 5));
    expect(segments.map((s) => s.index)).toEqual([5, 6]);
    expect(new TextDecoder().decode(await reader.read(4))).toBe('rest');
    expect(await reader.readOrEnd(1)).toBeUndefined();
  });

  it('reports truncation at every byte', async () => {
    for (let length = 0; length < stream.length; length += 1) {
      expect(await codeOfAsync(() => read(stream.subarray(0, length)))).toBe('STREAM_TRUNCATED');
    }
  });

  it.each([
    ['shorter than a tag', u32be(15)],
    ['longer than any segment', u32be(4 * 1024 * 1024 + 17)],
    ['of two gigabytes', u32be(0x7fff_ffff)],
    ['of two gigabytes and last', u32be(0xffff_ffff)],
  ])('refuses a frame %s before it reads it', async (_what, head) => {
    expect(await codeOfAsync(() => read(head))).toBe('FRAME_INVALID');
  });

  it('refuses a frame above the given limit', async () => {
    expect(await codeOfAsync(() => read(stream, 3, 19))).toBe('FRAME_INVALID');
  });
});

describe('ByteReader', () => {
  it('closes its source', async () => {
    let closed = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        yield utf8('abc');
        yield utf8('def');
      } finally {
        closed = true;
      }
    }
    const reader = new ByteReader(source());
    await reader.read(1);
    await reader.close();
    expect(closed).toBe(true);
  });
});
