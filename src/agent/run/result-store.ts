import { createWriteStream } from 'node:fs';
import { mkdir, open, rm } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { packDirectory } from '../../archive/pack.ts';
import { AEAD_TAG_BYTES } from '../../crypto/aead.ts';
import { createDigest } from '../../crypto/digest.ts';
import { CocosError } from '../../errors.ts';
import type { SignedReceipt } from '../../protocol/receipt.ts';
import { generateContentKey, resultSegments } from '../../protocol/result.ts';
import { sealStream } from '../../protocol/segment-stream.ts';
import { DEFAULT_SEGMENT_SIZE, type SealedSegment, segmentCount } from '../../protocol/segments.ts';

/** The present result: its key and measures; the sealed segments are in a file. */
export interface SealedResult {
  readonly contentKey: Uint8Array;
  /** Of the packed plaintext. */
  readonly digest: string;
  /** Of the sealed segments. */
  readonly sealedDigest: string;
  readonly size: number;
  readonly segments: number;
  readonly segmentSize: number;
}

/** A reader's position in the sealed result. */
export interface ResultReader {
  /** Bytes of the longest sealed segment. */
  readonly segmentBytes: number;
  /** Writes the next segment to the start of `into`; null after the last. */
  next(
    into: Uint8Array,
  ): Promise<{ readonly index: number; readonly last: boolean; readonly length: number } | null>;
  close(): Promise<void>;
}

const RESULT_AEAD = 'chacha20-poly1305';

/** The result, packed and sealed once, with its receipt. The plaintext is not kept. */
export class ResultStore {
  readonly aead = RESULT_AEAD;
  receipt: SignedReceipt | null = null;
  private readonly directory: string;
  private sealed: SealedResult | null = null;

  constructor(workDir: string) {
    this.directory = path.join(workDir, 'sealed');
  }

  get(): SealedResult {
    if (this.sealed === null) {
      throw new CocosError(
        'RESULT_NOT_READY',
        'The computation has no result yet; follow it until it is ready.',
      );
    }
    return this.sealed;
  }

  /** Packs a folder into one stream and seals it under a fresh content key. */
  async seal(folder: string, computationId: string, manifestDigest: string): Promise<SealedResult> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    const contentKey = generateContentKey();
    const segmentSize = DEFAULT_SEGMENT_SIZE;
    const parameters = resultSegments({
      contentKey,
      computationId,
      manifestDigest,
      aead: RESULT_AEAD,
      segmentSize,
    });
    const hash = createDigest();
    const sealedHash = createDigest();
    let size = 0;
    async function* measured(): AsyncGenerator<Uint8Array> {
      for await (const chunk of packDirectory(folder)) {
        hash.update(chunk);
        size += chunk.length;
        yield chunk;
      }
    }
    async function* sealedBytes(): AsyncGenerator<Uint8Array> {
      for await (const segment of sealStream(measured(), parameters)) {
        sealedHash.update(segment.bytes);
        yield segment.bytes;
      }
    }
    await pipeline(Readable.from(sealedBytes()), createWriteStream(this.file, { mode: 0o600 }));
    this.sealed = {
      contentKey,
      digest: hash.finish(),
      sealedDigest: sealedHash.finish(),
      size,
      segments: segmentCount(size, segmentSize),
      segmentSize,
    };
    return this.sealed;
  }

  /** Sealed segments from `first` on. @throws CocosError RESULT_NOT_READY, INPUT_INVALID for a segment past the end */
  async *segments(first: number): AsyncGenerator<SealedSegment> {
    const reader = await this.read(first);
    try {
      for (;;) {
        const bytes = new Uint8Array(reader.segmentBytes);
        const segment = await reader.next(bytes);
        if (segment === null) return;
        yield { index: segment.index, last: segment.last, bytes: bytes.subarray(0, segment.length) };
      }
    } finally {
      await reader.close();
    }
  }

  /** Reads sealed segments from `first` on into the caller's memory. @throws CocosError as `segments` */
  async read(first: number): Promise<ResultReader> {
    const { segments, segmentSize, size } = this.get();
    if (!Number.isInteger(first) || first < 0 || first >= segments) {
      throw new CocosError(
        'INPUT_INVALID',
        `The result has segments 0 to ${segments - 1}; segment ${first} was requested.`,
      );
    }
    const segmentBytes = segmentSize + AEAD_TAG_BYTES;
    const file = await open(this.file, 'r');
    let index = first;
    return {
      segmentBytes,
      next: async (into) => {
        if (index >= segments) return null;
        const last = index === segments - 1;
        const length = last ? size - index * segmentSize + AEAD_TAG_BYTES : segmentBytes;
        const { bytesRead } = await file.read(into, 0, length, index * segmentBytes);
        if (bytesRead !== length)
          throw new CocosError('INTERNAL', `The sealed result ends in the middle of segment ${index}.`);
        index += 1;
        return { index: index - 1, last, length };
      },
      close: () => file.close(),
    };
  }

  async clear(): Promise<void> {
    this.sealed?.contentKey.fill(0);
    this.sealed = null;
    this.receipt = null;
    await rm(this.directory, { recursive: true, force: true });
  }

  private get file(): string {
    return path.join(this.directory, 'result');
  }
}
