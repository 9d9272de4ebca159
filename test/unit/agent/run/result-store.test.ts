import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ResultStore } from '../../../../src/agent/run/result-store.ts';
import { packDirectory } from '../../../../src/archive/pack.ts';
import { createDigest } from '../../../../src/crypto/digest.ts';

const MANIFEST_DIGEST = `sha256:${'0'.repeat(64)}`;

describe('the result store', () => {
  let folder: string;
  let results: string;

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'cocos-r-'));
    results = path.join(folder, 'results');
    await mkdir(results);
  });

  afterEach(() => rm(folder, { recursive: true, force: true }));

  const seal = () => new ResultStore(folder).seal(results, 'id', MANIFEST_DIGEST, () => undefined);

  async function digestOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
    const hash = createDigest();
    for await (const chunk of chunks) hash.update(chunk);
    return hash.finish();
  }

  it('publishes a digest from which a result cannot be guessed', async () => {
    await writeFile(path.join(results, 'answer'), 'yes');
    const plain = await digestOf(packDirectory(results));
    const first = await seal();
    const second = await seal();
    expect(first.digest).toBe(plain);
    expect(first.sealedDigest).not.toBe(plain);
    expect(first.sealedDigest).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(second.sealedDigest).not.toBe(first.sealedDigest);
  });

  it('publishes the digest of the bytes that the host relays', async () => {
    await writeFile(path.join(results, 'answer'), 'yes'.repeat(1_000_000));
    const store = new ResultStore(folder);
    const { sealedDigest } = await store.seal(results, 'id', MANIFEST_DIGEST, () => undefined);
    async function* bytes() {
      for await (const segment of store.segments(0)) yield segment.bytes;
    }
    expect(await digestOf(bytes())).toBe(sealedDigest);
  });
});
