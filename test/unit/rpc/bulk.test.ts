import { Duplex, PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { concat, utf8 } from '../../../src/crypto/bytes.ts';
import { CocosError } from '../../../src/errors.ts';
import { frameSegment } from '../../../src/protocol/segment-frames.ts';
import { decodePreface, encodeAnswer, encodePreface, isBulk } from '../../../src/rpc/bulk.ts';
import { BulkReader } from '../../../src/rpc/bulk-reader.ts';
import { BulkWriter } from '../../../src/rpc/bulk-writer.ts';

const LONG_MS = 60_000;
const preface = { direction: 'down', ticket: new Uint8Array(32).fill(7), firstSegment: 9 } as const;

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'nothing',
    (thrown: unknown) => CocosError.from(thrown).code,
  );
}

function altered(at: number, value: number): Uint8Array {
  const bytes = encodePreface(preface);
  bytes[at] = value;
  return bytes;
}

describe('the preface', () => {
  it('decodes to its fields and differs from HTTP/2', () => {
    const bytes = encodePreface(preface);
    expect(decodePreface(bytes)).toEqual(preface);
    expect(isBulk(bytes)).toBe(true);
    expect(isBulk(utf8('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'))).toBe(false);
  });

  it.each([
    ['another version', altered(8, 2)],
    ['an unknown direction', altered(9, 3)],
    ['a reserved byte that is set', altered(10, 1)],
    ['a byte too few', encodePreface(preface).subarray(0, -1)],
  ])('is refused with %s', (_what, bytes) => {
    expect(() => decodePreface(bytes)).toThrow(expect.objectContaining({ code: 'FRAME_INVALID' }));
  });
});

describe('BulkReader', () => {
  const first = { index: 0, last: false, bytes: new Uint8Array(100).fill(1) };
  const second = { index: 1, last: true, bytes: new Uint8Array(40).fill(2) };
  const bytes = concat(frameSegment(first), frameSegment(second));

  it.each([1, 3, 57, 1000])('returns the segments from chunks of %i bytes', async (size) => {
    const stream = new PassThrough();
    const reader = new BulkReader(stream, LONG_MS);
    for (let at = 0; at < bytes.length; at += size) stream.write(bytes.subarray(at, at + size));
    const found: [number, boolean][] = [];
    for await (const { bytes: segment, last } of reader.segments(100)) found.push([segment.length, last]);
    expect(found).toEqual([
      [100, false],
      [40, true],
    ]);
  });

  it('refuses a frame that is too long, before it allocates memory, or too short', async () => {
    for (const head of [
      [0, 0, 0, 101],
      [0x7f, 0xff, 0xff, 0xff],
      [0, 0, 0, 15],
    ]) {
      const stream = new PassThrough();
      const reader = new BulkReader(stream, LONG_MS);
      stream.write(Uint8Array.from(head));
      expect(await codeOf(reader.segments(100).next())).toBe('FRAME_INVALID');
    }
  });

  it('reports a premature end and a stalled peer', async () => {
    const ended = new PassThrough();
    const reading = codeOf(new BulkReader(ended, LONG_MS).fill(new Uint8Array(4)));
    ended.end(Uint8Array.of(1));
    expect(await reading).toBe('AGENT_UNAVAILABLE');
    expect(await codeOf(new BulkReader(new PassThrough(), 20).fill(new Uint8Array(4)))).toBe(
      'DEADLINE_EXCEEDED',
    );
  });

  it('throws the error of a refusing answer', async () => {
    const stream = new PassThrough();
    const reader = new BulkReader(stream, LONG_MS);
    stream.write(encodeAnswer({ ok: true, segments: 5 }));
    stream.write(encodeAnswer({ ok: false, error: { code: 'CRYPTO_OPEN_FAILED', message: 'no' } }));
    expect(await reader.answer()).toBe(5);
    expect(await codeOf(reader.answer())).toBe('CRYPTO_OPEN_FAILED');
    stream.write(Uint8Array.of(0, 0, 0, 1, 0x78));
    expect(await codeOf(reader.answer())).toBe('FRAME_INVALID');
    stream.write(Uint8Array.of(0xff, 0xff, 0xff, 0xff));
    expect(await codeOf(reader.answer())).toBe('FRAME_INVALID');
  });
});

describe('BulkWriter', () => {
  it('waits for a peer that does not read, and disconnects one that stalls', async () => {
    const stream = new Duplex({ read: () => undefined, write: () => undefined });
    const writer = new BulkWriter(stream, 1000, 20);
    const send = async () => {
      for (;;) writer.send(await writer.next(), 1000, false);
    };
    expect(await codeOf(send())).toBe('DEADLINE_EXCEEDED');
    expect(stream.writableLength).toBe(4 * 1004);
  });

  it('ends with the stream', async () => {
    const stream = new PassThrough();
    const writer = new BulkWriter(stream, 1000, LONG_MS);
    stream.destroy();
    expect(await codeOf(writer.next())).toBe('AGENT_UNAVAILABLE');
  });
});
