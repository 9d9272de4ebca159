import { AEAD_KEY_BYTES, type AeadName } from '../crypto/aead.ts';
import { expectLength, lengthPrefixed, randomBytes, utf8 } from '../crypto/bytes.ts';
import { DEFAULT_SUITE, setupReceiver, setupSender } from '../crypto/hpke.ts';
import type { KemName } from '../crypto/kem.ts';
import { parseKemKey } from '../crypto/keys.ts';
import { CocosError } from '../errors.ts';
import { DEFAULT_SEGMENT_SIZE, type SegmentParameters } from './segments.ts';

/**
 * Sealing of a result. Its packed bytes are sealed once, as segments under a fresh content key. HPKE seals that key to
 * each consumer of the manifest.
 */

const LABEL = utf8('cocosai result v1');
const EMPTY = new Uint8Array(0);
/** The AEAD that wraps content keys. */
const WRAP_AEAD: AeadName = DEFAULT_SUITE.aead;

/** A content key sealed to one consumer. */
export interface SealedContentKey {
  readonly kem: KemName;
  readonly enc: Uint8Array;
  /** 48 bytes: the key and its tag. */
  readonly ciphertext: Uint8Array;
}

/** A fresh content key of 32 bytes, for one result. */
export function generateContentKey(): Uint8Array {
  return randomBytes(AEAD_KEY_BYTES);
}

/**
 * Seals a content key to a consumer, bound to the manifest digest and the consumer's signing key.
 * @param consumerKem text form of the KEM key in the manifest
 * @param consumerSigning text form of the signing key in the manifest
 * @throws CocosError CRYPTO_KEY_INVALID for a consumer key that is malformed or of low order
 */
export function sealContentKey(
  consumerKem: string,
  consumerSigning: string,
  manifestDigest: string,
  contentKey: Uint8Array,
): SealedContentKey {
  expectLength(contentKey, AEAD_KEY_BYTES, 'content key');
  const { kem, publicKey } = parseKemKey(consumerKem);
  const info = keyInfo(consumerSigning, manifestDigest);
  const { enc, context } = setupSender({ kem, aead: WRAP_AEAD }, publicKey, info);
  return { kem, enc, ciphertext: context.seal(EMPTY, contentKey) };
}

/**
 * The content key, opened with the consumer's KEM secret key.
 * @throws CocosError CRYPTO_OPEN_FAILED if it was sealed to another consumer, key or manifest, or was altered;
 * CRYPTO_KEY_INVALID for a malformed encapsulated key
 */
export function openContentKey(
  sealed: SealedContentKey,
  consumerKemSecretKey: Uint8Array,
  consumerSigning: string,
  manifestDigest: string,
): Uint8Array {
  const info = keyInfo(consumerSigning, manifestDigest);
  const suite = { kem: sealed.kem, aead: WRAP_AEAD };
  const key = setupReceiver(suite, sealed.enc, consumerKemSecretKey, info).open(EMPTY, sealed.ciphertext);
  return expectLength(key, AEAD_KEY_BYTES, 'content key', 'CRYPTO_OPEN_FAILED');
}

/** Parameters of the segment stream of a result's packed bytes. */
export function resultSegments(input: {
  readonly contentKey: Uint8Array;
  readonly computationId: string;
  readonly manifestDigest: string;
  readonly aead: AeadName;
  readonly segmentSize?: number;
}): SegmentParameters {
  return {
    key: input.contentKey,
    aead: input.aead,
    segmentSize: input.segmentSize ?? DEFAULT_SEGMENT_SIZE,
    associatedData: lengthPrefixed(LABEL, utf8(input.computationId), utf8(input.manifestDigest)),
  };
}

function keyInfo(consumerSigning: string, manifestDigest: string): Uint8Array {
  if (consumerSigning.length === 0) throw new CocosError('INPUT_INVALID', 'The consumer has no signing key.');
  return lengthPrefixed(LABEL, utf8(manifestDigest), utf8(consumerSigning));
}
