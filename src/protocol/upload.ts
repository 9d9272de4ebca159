import type { AeadName } from '../crypto/aead.ts';
import { utf8 } from '../crypto/bytes.ts';
import type { SealedChannel } from './channel.ts';
import type { SegmentParameters } from './segments.ts';

/** What both ends know about an upload before its first byte. */
export interface UploadTerms {
  readonly id: string;
  readonly input: string;
  /** Plaintext bytes. */
  readonly size: number;
  /** Bytes of the content, if the plaintext is its gzip. */
  readonly inflatedSize?: number | undefined;
  /** Digest of the content, text form. */
  readonly digest: string;
  /** Plaintext bytes of each segment but the last; constant for the whole upload. */
  readonly segmentSize: number;
  /** Counts how often the upload was opened; each attempt has a separate key. */
  readonly attempt: number;
}

/** Segment parameters of one attempt of an upload, identical at both ends of the session's channel. */
export function uploadSegments(
  channel: SealedChannel,
  aead: AeadName,
  terms: UploadTerms,
): SegmentParameters {
  const { id, input, size, inflatedSize, digest, attempt } = terms;
  const encoding = inflatedSize === undefined ? [] : ['gzip', inflatedSize];
  return {
    key: channel.exportKey(`upload ${id} ${attempt}`),
    aead,
    associatedData: utf8(['cocosai upload v1', id, input, size, digest, attempt, ...encoding].join('\0')),
    segmentSize: terms.segmentSize,
  };
}
