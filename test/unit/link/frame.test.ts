import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Journal } from '../../../src/link/mirror/journal.ts';
import {
  decodeFrame,
  encodeFrame,
  LengthPrefixReader,
  MAX_FRAME_BYTES,
  prefixLength,
} from '../../../src/link/wire/frame.ts';
import { encodeMsgpack } from '../../../src/link/wire/msgpack.ts';

const invalid = expect.objectContaining({ code: 'FRAME_INVALID' });

describe('encodeFrame', () => {
  it('writes a big-endian length and [kind, seq, ack, body]', () => {
    const frame = encodeFrame({ kind: 'ping', seq: 0, ack: 3, body: null });
    expect(frame.toString('hex')).toBe('00000005' + '94060003c0');
  });

  it('refuses a frame over 1 MiB', () => {
    const body = Buffer.alloc(MAX_FRAME_BYTES);
    expect(() => encodeFrame({ kind: 'event', seq: 1, ack: 0, body })).toThrow(
      expect.objectContaining({ code: 'LIMIT_EXCEEDED' }),
    );
  });
});

describe('decodeFrame', () => {
  it.each([
    ['a kind beyond the table', [7, 0, 0, null]],
    ['a negative sequence', [1, -1, 0, null]],
    ['a fraction as sequence', [1, 0.5, 0, null]],
    ['three parts', [1, 0, 0]],
    ['five parts', [1, 0, 0, null, null]],
    ['a value that is not an array', 'hello'],
  ])('refuses %s', (_what, value) => {
    expect(() => decodeFrame(encodeMsgpack(value))).toThrow(invalid);
  });

  it.each([
    ['empty maps', 0x80],
    ['empty lists', 0x90],
    ['small numbers', 0x01],
  ])('a frame of nearly a million %s is refused before it takes seventy times its size', (_what, tag) => {
    const count = MAX_FRAME_BYTES - 100;
    const head = Buffer.from([0x94, 0x01, 0x01, 0x00, 0xdd, 0, 0, 0, 0]);
    head.writeUInt32BE(count, 5);
    const payload = Buffer.concat([head, Buffer.alloc(count, tag)]);
    expect(() => decodeFrame(payload)).toThrow(invalid);
  });

  it('the values of nested lists are counted together', () => {
    const body = Array.from({ length: 400 }, () => Array.from({ length: 400 }, () => ({})));
    expect(() => decodeFrame(encodeMsgpack([1, 1, 0, body]))).toThrow(invalid);
    expect(decodeFrame(encodeMsgpack([1, 1, 0, body.slice(200)])).body).toHaveLength(200);
  });
});

describe('LengthPrefixReader', () => {
  it('finds the messages regardless of how the stream is split', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 50 }), { minLength: 1, maxLength: 10 }),
        fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 200 }),
        (messages, cuts) => {
          const stream = Buffer.concat(messages.map((message) => prefixLength(message, 100)));
          const reader = new LengthPrefixReader(100);
          const found: Buffer[] = [];
          let at = 0;
          for (let index = 0; at < stream.length; index++) {
            const end = at + (cuts[index % cuts.length] ?? 1);
            found.push(...reader.push(stream.subarray(at, end)));
            at = end;
          }
          expect(found.map((each) => each.toString('hex'))).toEqual(
            messages.map((each) => Buffer.from(each).toString('hex')),
          );
        },
      ),
    );
  });

  it('reads a message of 1 MiB byte by byte in linear time', () => {
    const message = Buffer.from(Array.from({ length: MAX_FRAME_BYTES }, (_, index) => index % 251));
    const stream = prefixLength(message, MAX_FRAME_BYTES);
    const reader = new LengthPrefixReader();
    const found: Buffer[] = [];
    for (let at = 0; at < stream.length; at++) found.push(...reader.push(stream.subarray(at, at + 1)));
    expect(found.length).toBe(1);
    expect(found[0]?.equals(message)).toBe(true);
  });

  it('returns no message twice when its consumer stops after the first of a chunk', () => {
    const reader = new LengthPrefixReader();
    const chunk = Buffer.concat(['a', 'b', 'c'].map((text) => prefixLength(Buffer.from(text), 100)));
    for (const message of reader.push(chunk)) {
      expect(message.toString()).toBe('a');
      break;
    }
    expect([...reader.push(Buffer.alloc(0))].map(String)).toEqual(['b', 'c']);
  });

  it.each(['00000000', '00100001', 'ffffffff'])(
    'refuses the announced length %s before it buffers a byte',
    (hex) => {
      const reader = new LengthPrefixReader(MAX_FRAME_BYTES);
      expect(() => [...reader.push(Buffer.from(hex, 'hex'))]).toThrow(invalid);
    },
  );
});

describe('Journal', () => {
  it('keeps unacknowledged entries in order', () => {
    const journal = new Journal();
    for (const body of ['a', 'b', 'c']) journal.append('event', body);
    journal.acknowledge(1);
    expect(journal.after(1)?.map(({ seq, body }) => [seq, body])).toEqual([
      [2, 'b'],
      [3, 'c'],
    ]);
    expect(journal.after(3)).toEqual([]);
  });

  it('reports a position that it no longer covers', () => {
    const journal = new Journal(2);
    for (const body of ['a', 'b', 'c']) journal.append('event', body);
    expect(journal.after(0)).toBeNull();
    expect(journal.after(1)?.length).toBe(2);
    journal.acknowledge(3);
    expect(journal.after(2)).toBeNull();
    expect(journal.after(3)).toEqual([]);
  });
});
