import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { buildVerityTree } from '../../../eos/verity.ts';

/** Block i contains 64 times the 64 bytes 7i, 7i+1, ... modulo 256. */
function blocks(count: number): Buffer {
  const data = Buffer.alloc(count * 4096);
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < 4096; j++) data[i * 4096 + j] = (i * 7 + (j % 64)) & 0xff;
  }
  return data;
}

// Made by veritysetup 2.6.1: format --no-superblock --salt=- over the same data.
const MADE_BY_VERITYSETUP = [
  {
    count: 2,
    rootHash: '15f70747ebc44f710d45c0bdf734fd7151f80e2568df9f480ad5960324046bac',
    tree: '15f70747ebc44f710d45c0bdf734fd7151f80e2568df9f480ad5960324046bac',
  },
  {
    count: 129,
    rootHash: 'c9e66511776a1e5755fe65b0e19425124927ae0b3c9535bd68760e09154a0f0f',
    tree: '84dab49254858650b204980ee6c7ff023f3adc757984eeb5faedc8dd7e314e6d',
  },
  {
    count: 300,
    rootHash: '5e5b8f6824d1aad0671b741e0ac6c67a5a276dce172875d1899e3fbf8991e2b8',
    tree: '90277bf8f77a76f9444ae75827490580cf0d28e51c58677ffd61b8b654bb8f9f',
  },
  {
    count: 20_000,
    rootHash: 'ede0faeb1f5edc8a276576de067a589948e6f1796b445ffb6af79ace8012b314',
    tree: 'a4f5d6821edc3795fc59639026900f05d8d62810ce807948cac33dfc2753ea42',
  },
];

describe('buildVerityTree', () => {
  it.each(MADE_BY_VERITYSETUP)(
    'equals what veritysetup writes for $count blocks',
    ({ count, rootHash, tree }) => {
      const built = buildVerityTree(blocks(count));
      expect(built.rootHash.toString('hex')).toBe(rootHash);
      expect(createHash('sha256').update(built.tree).digest('hex')).toBe(tree);
      expect(built.dataBlocks).toBe(count);
    },
  );

  it('returns another root hash if one bit changes', () => {
    const data = blocks(300);
    data[299 * 4096 + 17] = (data[299 * 4096 + 17] ?? 0) ^ 1;
    expect(buildVerityTree(data).rootHash.toString('hex')).not.toBe(MADE_BY_VERITYSETUP[2]?.rootHash);
  });

  it('refuses data that is not a multiple of the block size', () => {
    expect(() => buildVerityTree(Buffer.alloc(2 * 4096 + 1))).toThrow(RangeError);
    expect(() => buildVerityTree(Buffer.alloc(4096))).toThrow(RangeError);
  });
});
