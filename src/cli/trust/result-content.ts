import { createDigest } from '../../crypto/digest.ts';
import { encodeSigningKey, type ParticipantKeys } from '../../crypto/keys.ts';
import { CocosError } from '../../errors.ts';
import type { Receipt } from '../../protocol/receipt.ts';
import { openContentKey, resultSegments } from '../../protocol/result.ts';
import type { ResultHeader } from '../../protocol/result-file.ts';
import { SegmentOpener } from '../../protocol/segments.ts';

/** Opens the segments of a result and compares the plaintext with the receipt. */
export class ContentCheck {
  private readonly opener: SegmentOpener | null;
  private readonly digest = createDigest();
  private failure: string | null = null;

  constructor(header: ResultHeader, keys: ParticipantKeys) {
    try {
      const contentKey = contentKeyOf(header, keys);
      this.opener = new SegmentOpener(resultSegments({ ...header, contentKey }));
      contentKey.fill(0);
    } catch (thrown) {
      this.opener = null;
      this.failure = CocosError.from(thrown).message;
    }
  }

  visit(bytes: Uint8Array, last: boolean): void {
    if (this.opener === null || this.failure !== null) return;
    const index = this.opener.nextIndex;
    try {
      const plain = this.opener.open(bytes, index, last);
      this.digest.update(plain);
      plain.fill(0);
    } catch {
      this.failure = `segment ${index} was altered: it does not open`;
    }
  }

  /** Why the content is not that of the receipt; null if it is. */
  finish({ resultDigest, resultSize }: Receipt): string | null {
    if (this.failure !== null) return this.failure;
    const isSame = this.digest.size === resultSize && this.digest.finish() === resultDigest;
    return isSame ? null : 'the content is not the one in the receipt';
  }

  erase(): void {
    this.opener?.erase();
  }
}

/**
 * The content key of a result.
 * @throws CocosError CRYPTO_OPEN_FAILED that tells a wrong key from an altered file, as far as the file names its recipient
 */
export function contentKeyOf(header: ResultHeader, keys: ParticipantKeys): Uint8Array {
  const signing = encodeSigningKey(keys.signing.publicKey);
  requireRecipient(header, signing);
  try {
    return openContentKey(header.sealedKey, keys.kem.secretKey, signing, header.manifestDigest);
  } catch (cause) {
    const reason =
      header.recipient === undefined
        ? 'It was sealed to another key, or the file was altered.'
        : 'The file names your key as its recipient, so its content key or its manifest digest was altered.';
    throw new CocosError('CRYPTO_OPEN_FAILED', `The result does not open with your key. ${reason}`, {
      cause,
      details: { reason: header.recipient === undefined ? 'unknown' : 'altered' },
    });
  }
}

/** @throws CocosError CRYPTO_OPEN_FAILED if the file names another recipient */
export function requireRecipient({ recipient }: ResultHeader, signing: string): void {
  if (recipient === undefined || recipient === signing) return;
  throw new CocosError(
    'CRYPTO_OPEN_FAILED',
    `The result was sealed to the key ${recipient}, not to your key ${signing}. Use the other key, or fetch the result with yours.`,
    { details: { reason: 'wrong-key', recipient, key: signing } },
  );
}
