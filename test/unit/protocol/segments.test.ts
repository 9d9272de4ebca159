import { createDecipheriv, createHash, hkdfSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AeadName, aeadSeal } from '../../../src/crypto/aead.ts';
import { concat, toHex, utf8 } from '../../../src/crypto/bytes.ts';
import { openStream, sealStream } from '../../../src/protocol/segment-stream.ts';
import {
  MIN_SEGMENT_SIZE,
  type SealedSegment,
  SegmentOpener,
  type SegmentParameters,
  SegmentSealer,
  sealedSize,
  segmentCount,
} from '../../../src/protocol/segments.ts';
import { chunked, codeOf, codeOfAsync, collect, flip, from } from '../crypto/support.ts';

const SIZE = MIN_SEGMENT_SIZE;
const KEY = new Uint8Array(32).fill(7);
const EMPTY = new Uint8Array(0);

function parameters(change: Partial<SegmentParameters> = {}): SegmentParameters {
  return {
    key: KEY,
    aead: 'chacha20-poly1305',
    associatedData: utf8('transfer 1'),
    segmentSize: SIZE,
    ...change,
  };
}

/** Content in which all segments differ. */
function content(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >>> 8)) & 0xff);
}

async function seal(
  plaintext: Uint8Array,
  change: Partial<SegmentParameters> = {},
): Promise<SealedSegment[]> {
  return collect(sealStream(chunked(plaintext, 50_000), parameters(change)));
}

async function open(segments: readonly SealedSegment[], change: Partial<SegmentParameters> = {}) {
  return concat(...(await collect(openStream(from(segments), parameters(change)))));
}

describe('sealStream', () => {
  it.each([
    [0, [0]],
    [1, [1]],
    [SIZE, [SIZE]],
    [SIZE + 1, [SIZE, 1]],
    [3 * SIZE, [SIZE, SIZE, SIZE]],
  ])('splits %i bytes into full segments and a last one', async (length, lengths) => {
    const segments = await seal(content(length));
    expect(segments.map((s) => s.bytes.length - 16)).toEqual(lengths);
    expect(segments.map((s) => s.last)).toEqual(lengths.map((_, i) => i === lengths.length - 1));
    expect(segments.map((s) => s.index)).toEqual(lengths.map((_, i) => i));
    expect(segmentCount(length, SIZE)).toBe(lengths.length);
    expect(sealedSize(length, SIZE)).toBe(segments.reduce((sum, s) => sum + s.bytes.length, 0));
    expect(toHex(await open(segments))).toBe(toHex(content(length)));
  });

  it('produces the same segments for any chunk size, and they open to the content', async () => {
    const arbitrary = fc.record({
      length: fc.integer({ min: 0, max: 3 * SIZE + 5 }),
      cut: fc.integer({ min: 1000, max: 4 * SIZE }),
      aead: fc.constantFrom<AeadName>('chacha20-poly1305', 'aes-256-gcm'),
    });
    await fc.assert(
      fc.asyncProperty(arbitrary, async ({ length, cut, aead }) => {
        const plaintext = content(length);
        const whole = await collect(sealStream(from([plaintext]), parameters({ aead })));
        const cutUp = await collect(sealStream(chunked(plaintext, cut), parameters({ aead })));
        expect(cutUp.map((s) => toHex(s.bytes))).toEqual(whole.map((s) => toHex(s.bytes)));
        expect(Buffer.compare(await open(whole, { aead }), plaintext)).toBe(0);
      }),
      { numRuns: 25 },
    );
  });

  it('produces the same segments when resumed, and they open from there', async () => {
    const plaintext = content(3 * SIZE + 9);
    const whole = await seal(plaintext);
    const rest = await collect(sealStream(chunked(plaintext.subarray(2 * SIZE), 999), parameters(), 2));
    expect(rest.map((s) => toHex(s.bytes))).toEqual(whole.slice(2).map((s) => toHex(s.bytes)));
    const tail = concat(...(await collect(openStream(from(rest), parameters(), 2))));
    expect(toHex(tail)).toBe(toHex(plaintext.subarray(2 * SIZE)));
  });

  it('throws the error of its source', async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield content(10);
      throw new RangeError('disk');
    }
    await expect(collect(sealStream(broken(), parameters()))).rejects.toThrow(RangeError);
  });

  it('follows the documented construction, rebuilt with node:crypto only', async () => {
    const label = Buffer.from('cocosai segments v1');
    const u32 = (n: number) => {
      const out = Buffer.alloc(4);
      out.writeUInt32BE(n);
      return out;
    };
    const parts = [label, Buffer.from('aes-256-gcm'), u32(SIZE), Buffer.from('transfer 1')];
    const aad = createHash('sha256')
      .update(Buffer.concat(parts.flatMap((p) => [u32(p.length), p])))
      .digest();
    const okm = Buffer.from(hkdfSync('sha256', KEY, EMPTY, Buffer.concat([label, aad]), 39));
    const [, second] = await seal(content(SIZE + 3), { aead: 'aes-256-gcm' });
    if (second === undefined) return expect.fail();
    const nonce = Buffer.concat([okm.subarray(32), u32(1), Buffer.of(1)]);
    const decipher = createDecipheriv('aes-256-gcm', okm.subarray(0, 32), nonce);
    decipher.setAAD(aad).setAuthTag(second.bytes.subarray(-16));
    const opened = Buffer.concat([decipher.update(second.bytes.subarray(0, -16)), decipher.final()]);
    expect(toHex(opened)).toBe(toHex(content(SIZE + 3).subarray(SIZE)));
  });
});

describe('openStream', () => {
  const three = () => seal(content(2 * SIZE + 100));

  it.each<[string, (s: SealedSegment[]) => SealedSegment[], string]>([
    [
      'an altered segment',
      ([a, b, c]) => [a, { ...b, bytes: flip(b?.bytes ?? EMPTY, 9) }, c] as SealedSegment[],
      'CRYPTO_OPEN_FAILED',
    ],
    ['segments in another order', ([a, b, c]) => [b, a, c] as SealedSegment[], 'CRYPTO_OPEN_FAILED'],
    [
      'segments swapped and renumbered',
      ([a, b, c]) => [{ ...b, index: 0 }, { ...a, index: 1 }, c] as SealedSegment[],
      'CRYPTO_OPEN_FAILED',
    ],
    ['a segment twice', ([a, b, c]) => [a, a, b, c] as SealedSegment[], 'CRYPTO_OPEN_FAILED'],
    [
      'a segment twice and renumbered',
      ([a, , c]) => [a, { ...a, index: 1 }, c] as SealedSegment[],
      'CRYPTO_OPEN_FAILED',
    ],
    ['a missing segment', ([a, , c]) => [a, { ...c, index: 1 }] as SealedSegment[], 'CRYPTO_OPEN_FAILED'],
    ['a missing last segment', ([a, b]) => [a, b] as SealedSegment[], 'STREAM_TRUNCATED'],
    ['no segment at all', () => [], 'STREAM_TRUNCATED'],
    [
      'a full segment called the last',
      ([a, b]) => [a, { ...b, last: true }] as SealedSegment[],
      'CRYPTO_OPEN_FAILED',
    ],
    [
      'a last segment called not the last',
      ([a, b, c]) => [a, b, { ...c, last: false }] as SealedSegment[],
      'CRYPTO_OPEN_FAILED',
    ],
    [
      'a shortened segment',
      ([a, b, c]) => [a, b, { ...c, bytes: c?.bytes.subarray(0, 15) }] as SealedSegment[],
      'CRYPTO_OPEN_FAILED',
    ],
    ['the last segment twice', ([a, b, c]) => [a, b, c, c] as SealedSegment[], 'STREAM_TRAILING'],
    [
      'a segment after the last',
      ([a, b, c]) => [a, b, c, { ...a, index: 3 }] as SealedSegment[],
      'STREAM_TRAILING',
    ],
  ])('refuses %s', async (_what, change, code) => {
    const segments = change(await three());
    expect(await codeOfAsync(() => open(segments))).toBe(code);
  });

  it('refuses a segment of another stream, even under the same key', async () => {
    const segments = await three();
    for (const other of [{ associatedData: utf8('transfer 2') }, { key: flip(KEY) }]) {
      const [, foreign] = await seal(content(2 * SIZE + 100), other);
      const spliced = segments.map((s, i) => (i === 1 && foreign !== undefined ? foreign : s));
      expect(await codeOfAsync(() => open(spliced))).toBe('CRYPTO_OPEN_FAILED');
    }
  });

  it.each<[string, Partial<SegmentParameters>]>([
    ['key', { key: flip(KEY) }],
    ['associated data', { associatedData: utf8('transfer 2') }],
    ['AEAD', { aead: 'aes-256-gcm' }],
    ['segment size', { segmentSize: 2 * SIZE }],
  ])('refuses every segment under another %s', async (_what, change) => {
    const segments = await seal(content(100));
    expect(await codeOfAsync(() => open(segments, change))).toBe('CRYPTO_OPEN_FAILED');
  });
});

describe('SegmentOpener', () => {
  it('does not advance for a refused segment and accepts the right one afterwards', async () => {
    const [first, second] = await seal(content(SIZE + 1));
    if (!first || !second) return expect.fail();
    const opener = new SegmentOpener(parameters());
    expect(codeOf(() => opener.open(flip(first.bytes), 0, false))).toBe('CRYPTO_OPEN_FAILED');
    expect(opener.nextIndex).toBe(0);
    opener.open(first.bytes, 0, false);
    expect(codeOf(() => opener.finish())).toBe('STREAM_TRUNCATED');
    opener.open(second.bytes, 1, true);
    opener.finish();
    expect(opener.finished).toBe(true);
  });
});

describe('SegmentSealer', () => {
  it.each<[string, (sealer: SegmentSealer) => unknown]>([
    ['a short segment before the last', (sealer) => sealer.seal(content(SIZE - 1), false)],
    ['a long last segment', (sealer) => sealer.seal(content(SIZE + 1), true)],
    [
      'an empty last segment that is not the only one',
      (sealer) => [sealer.seal(content(SIZE), false), sealer.seal(EMPTY, true)],
    ],
  ])('refuses %s', (_what, run) => {
    expect(codeOf(() => run(new SegmentSealer(parameters())))).toBe('INPUT_INVALID');
  });

  it('seals nothing after the last segment', () => {
    const sealer = new SegmentSealer(parameters());
    sealer.seal(EMPTY, true);
    expect(codeOf(() => sealer.seal(EMPTY, true))).toBe('STREAM_TRAILING');
  });

  it('stops when its counter is exhausted', () => {
    const sealer = new SegmentSealer(parameters(), 2 ** 32 - 1);
    sealer.seal(content(SIZE), false);
    expect(codeOf(() => sealer.seal(content(SIZE), false))).toBe('LIMIT_EXCEEDED');
  });

  it.each<[string, Partial<SegmentParameters>, number]>([
    ['a key of 31 bytes', { key: KEY.subarray(1) }, 0],
    ['segments below 64 KiB', { segmentSize: SIZE - 1 }, 0],
    ['segments above 4 MiB', { segmentSize: 4 * 1024 * 1024 + 1 }, 0],
    ['a broken segment size', { segmentSize: SIZE + 0.5 }, 0],
    ['a negative start', {}, -1],
    ['a start past the counter', {}, 2 ** 32],
  ])('refuses %s', (_what, change, start) => {
    expect(codeOf(() => new SegmentSealer(parameters(change), start))).toBe('INPUT_INVALID');
  });

  it('does not use the stream key itself', () => {
    const [sealed] = [new SegmentSealer(parameters()).seal(utf8('text'), true)];
    const plain = aeadSeal('chacha20-poly1305', KEY, new Uint8Array(12), EMPTY, utf8('text'));
    expect(toHex(sealed.bytes)).not.toBe(toHex(plain));
  });
});
