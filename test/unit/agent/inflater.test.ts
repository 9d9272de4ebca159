import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { Inflater } from '../../../src/agent/transfers/inflater.ts';
import { CocosError } from '../../../src/errors.ts';

const MIB = 2 ** 20;

async function inflate(gzip: Uint8Array, limit: number, piece = 10_000): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const inflater = new Inflater(limit, async (bytes) => void chunks.push(Buffer.from(bytes)));
  try {
    for (let at = 0; at < gzip.length; at += piece) {
      // The memory is reused, as by a stream.
      const memory = Buffer.from(gzip.subarray(at, at + piece));
      await inflater.push(memory);
      memory.fill(0);
    }
    await inflater.end();
    return Buffer.concat(chunks);
  } finally {
    inflater.close();
  }
}

const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'nothing',
    (thrown: unknown) => CocosError.from(thrown).code,
  );

describe('Inflater', () => {
  const content = Buffer.concat([randomBytes(MIB), Buffer.alloc(MIB, 7)]);

  it.each([1 + MIB, 1000, 77])(
    'gives what gzip of another program packed, in pieces of %i bytes',
    async (piece) => {
      const packed = execFileSync('gzip', ['-9', '-c'], { input: content, maxBuffer: 4 * MIB });
      expect((await inflate(packed, content.length, piece)).equals(content)).toBe(true);
    },
  );

  it('inflates an empty content to nothing', async () => {
    expect(await inflate(gzipSync(''), 0)).toHaveLength(0);
  });

  it('stops a decompression bomb at the declared size', async () => {
    const bomb = gzipSync(Buffer.alloc(64 * MIB));
    let taken = 0;
    const inflater = new Inflater(MIB, async (bytes) => {
      taken += bytes.length;
    });
    expect(await codeOf(inflater.push(bomb))).toBe('TRANSFER_SIZE_MISMATCH');
    expect(taken).toBeLessThanOrEqual(MIB);
    expect(await codeOf(inflater.push(bomb))).toBe('TRANSFER_SIZE_MISMATCH');
  });

  it.each<[string, (packed: Buffer) => Buffer]>([
    ['bytes that are not gzip', () => randomBytes(1000)],
    [
      'a stream with a flipped bit',
      (packed) => Buffer.from(packed.map((byte, at) => (at === 2000 ? byte ^ 1 : byte))),
    ],
    ['a truncated stream', (packed) => packed.subarray(0, -9)],
    [
      'a stream with a wrong checksum',
      (packed) => Buffer.from(packed.map((b, at) => (at === packed.length - 8 ? b ^ 1 : b))),
    ],
  ])('refuses %s with its code', async (_what, change) => {
    expect(await codeOf(inflate(change(gzipSync(content)), content.length))).toBe('TRANSFER_ENCODING');
  });

  it('waits for its consumer and throws what the consumer throws', async () => {
    let isTaking = false;
    const inflater = new Inflater(2 * MIB, async () => {
      if (isTaking) throw new CocosError('INTERNAL', 'not one at a time');
      isTaking = true;
      await new Promise((resolve) => setTimeout(resolve, 1));
      isTaking = false;
    });
    await inflater.push(gzipSync(Buffer.alloc(MIB)));
    await inflater.end();
    const full = new Inflater(MIB, () => Promise.reject(new CocosError('LIMIT_EXCEEDED', 'full')));
    expect(await codeOf(full.push(gzipSync(content.subarray(0, MIB))))).toBe('LIMIT_EXCEEDED');
  });
});
