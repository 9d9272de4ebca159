import { createHash } from 'node:crypto';

/** Size of a data block and of a hash block, in bytes. */
export const VERITY_BLOCK = 4096;
const DIGEST = 32;

export interface VerityTree {
  /** Hash blocks, topmost level first, as dm-verity reads them behind the data. */
  readonly tree: Buffer;
  /** SHA-256 of the top block. */
  readonly rootHash: Buffer;
  readonly dataBlocks: number;
}

/**
 * The dm-verity hash tree of `data`: hash type 1, SHA-256, 4096-byte blocks, no salt, no superblock
 * (Linux Documentation/admin-guide/device-mapper/verity.rst). Equal to what
 * `veritysetup format --no-superblock --salt=-` writes.
 *
 * @param data whole blocks, at least two
 */
export function buildVerityTree(data: Uint8Array): VerityTree {
  if (data.length % VERITY_BLOCK !== 0 || data.length < 2 * VERITY_BLOCK) {
    throw new RangeError(
      `dm-verity needs two or more whole blocks of ${VERITY_BLOCK} bytes, got ${data.length}`,
    );
  }
  const levels: Buffer[] = [];
  let below: Uint8Array = data;
  do {
    const level = hashLevel(below);
    levels.unshift(level);
    below = level;
  } while (below.length > VERITY_BLOCK);
  const rootHash = createHash('sha256').update(below).digest();
  return { tree: Buffer.concat(levels), rootHash, dataBlocks: data.length / VERITY_BLOCK };
}

/** Digests of all blocks of one level, zero-filled to whole blocks. */
function hashLevel(below: Uint8Array): Buffer {
  const blocks = below.length / VERITY_BLOCK;
  const level = Buffer.alloc(Math.ceil((blocks * DIGEST) / VERITY_BLOCK) * VERITY_BLOCK);
  for (let i = 0; i < blocks; i++) {
    const block = below.subarray(i * VERITY_BLOCK, (i + 1) * VERITY_BLOCK);
    createHash('sha256')
      .update(block)
      .digest()
      .copy(level, i * DIGEST);
  }
  return level;
}
