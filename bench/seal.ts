import { createCipheriv, randomBytes } from 'node:crypto';
import { sealStream } from '../src/protocol/segment-stream.ts';
import { DEFAULT_SEGMENT_SIZE } from '../src/protocol/segments.ts';
import { type Figure, median } from './figure.ts';

/** Sealing a stream into segments, beside the bare AEAD over the same bytes. */
const SIZE = 256 * 1024 * 1024;
const RUNS = 5;
const CIPHERS = { 'chacha20-poly1305': 'chacha20-poly1305', 'aes-256-gcm': 'aes-256-gcm' } as const;

export async function run(): Promise<Figure[]> {
  const figures: Figure[] = [];
  const chunk = randomBytes(DEFAULT_SEGMENT_SIZE);
  for (const aead of ['chacha20-poly1305', 'aes-256-gcm'] as const) {
    const sealed: number[] = [];
    const bare: number[] = [];
    for (let index = 0; index < RUNS; index++) {
      bare.push(await speed(() => bareAead(CIPHERS[aead], chunk)));
      sealed.push(await speed(() => sealSegments(aead, chunk)));
    }
    const value = median(sealed);
    const baseline = median(bare);
    const ratio = value / baseline;
    figures.push({
      figure: `seal ${aead}`,
      value,
      unit: 'MB/s',
      baseline,
      ratio,
      bar: '>= 0.7',
      ok: ratio >= 0.7,
    });
  }
  return figures;
}

async function speed(work: () => Promise<void>): Promise<number> {
  const begin = performance.now();
  await work();
  return SIZE / 1e6 / ((performance.now() - begin) / 1000);
}

async function bareAead(name: 'chacha20-poly1305' | 'aes-256-gcm', chunk: Uint8Array): Promise<void> {
  const key = randomBytes(32);
  for (let sent = 0; sent < SIZE; sent += chunk.length) {
    const nonce = Buffer.alloc(12);
    nonce.writeUInt32BE(sent / chunk.length, 8);
    const cipher =
      name === 'aes-256-gcm'
        ? createCipheriv(name, key, nonce)
        : createCipheriv(name, key, nonce, { authTagLength: 16 });
    cipher.update(chunk);
    cipher.final();
    cipher.getAuthTag();
  }
}

async function sealSegments(aead: 'chacha20-poly1305' | 'aes-256-gcm', chunk: Uint8Array): Promise<void> {
  async function* source(): AsyncGenerator<Uint8Array> {
    for (let sent = 0; sent < SIZE; sent += chunk.length) yield chunk;
  }
  const parameters = { key: randomBytes(32), aead, associatedData: new Uint8Array(0) };
  let segments = 0;
  for await (const segment of sealStream(source(), parameters)) segments += segment.last ? 0 : 1;
  if (segments === 0) throw new Error('nothing was sealed');
}
