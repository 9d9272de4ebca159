import { z } from 'zod';
import { concat, fromUtf8, utf8 } from '../crypto/bytes.ts';
import { canonicalJson } from '../crypto/digest.ts';
import { sign, verify } from '../crypto/signing.ts';
import { CocosError } from '../errors.ts';

/**
 * The receipt of a result: algorithm, inputs and result, signed by the agent's attested key. Its bytes are the canonical
 * JSON (RFC 8785) of the fields. The signature is Ed25519 over "cocosai receipt v1" ‖ 0 ‖ bytes.
 */

const PREFIX = concat(utf8('cocosai receipt v1'), Uint8Array.of(0));
/** Maximum bytes of a receipt: 64 datasets with the longest names need about 18 KiB. */
export const MAX_RECEIPT_BYTES = 64 * 1024;

const DigestText = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const InputDigestText = z.string().regex(/^(sha256|sha3-256):[0-9a-f]{64}$/);

export const Receipt = z.strictObject({
  version: z.literal(1),
  computationId: z.string().min(1).max(64),
  manifestDigest: DigestText,
  algorithmDigest: InputDigestText,
  datasets: z.array(z.strictObject({ name: z.string().min(1).max(128), digest: InputDigestText })).max(64),
  /** Over the packed plaintext. */
  resultDigest: DigestText,
  /** Bytes of the packed plaintext. */
  resultSize: z.int().min(0),
  /** Zeros at the end of the packed plaintext, if the manifest demands padding. */
  paddingBytes: z.int().min(1).optional(),
  /** Links, special files and the like that the result could not hold; missing if there were none. */
  omittedEntries: z.int().min(1).optional(),
  /** Over the sealed segments without their frames, for verification without a key. Older agents do not state it. */
  sealedDigest: DigestText.optional(),
  /** Digest of the claims that contain the signing key. */
  evidenceDigest: DigestText,
  /** The platform that the agent detected; the evidence proves it. */
  platform: z.enum(['snp', 'tdx', 'emulated']),
  runtime: z.string().max(256),
  /** Null if a signal ended the algorithm. */
  exitCode: z.int().min(0).max(255).nullable(),
  startedAt: z.iso.datetime(),
  endedAt: z.iso.datetime(),
});
export type Receipt = z.infer<typeof Receipt>;

export interface SignedReceipt {
  /** Canonical JSON, UTF-8. */
  readonly bytes: Uint8Array;
  /** 64 bytes. */
  readonly signature: Uint8Array;
}

/** Signs a receipt. @throws CocosError RESULT_INVALID if it does not have the format of a receipt */
export function signReceipt(receipt: Receipt, agentSigningSecretKey: Uint8Array): SignedReceipt {
  const bytes = utf8(canonicalJson(parseReceipt(receipt)));
  return { bytes, signature: sign(concat(PREFIX, bytes), agentSigningSecretKey) };
}

/**
 * Parses a receipt and verifies that the agent signed exactly these bytes.
 * @throws CocosError RESULT_INVALID if the signature is wrong, the bytes are not canonical JSON, or they do not have the
 * format of a receipt
 */
export function verifyReceipt(
  bytes: Uint8Array,
  signature: Uint8Array,
  agentSigningPublicKey: Uint8Array,
): Receipt {
  if (bytes.length > MAX_RECEIPT_BYTES) throw new CocosError('RESULT_INVALID', 'The receipt is too long.');
  if (!verify(signature, concat(PREFIX, bytes), agentSigningPublicKey)) {
    throw new CocosError('RESULT_INVALID', 'The receipt is not signed by this agent.');
  }
  let value: unknown;
  let text: string;
  try {
    text = fromUtf8(bytes, 'the receipt');
    value = JSON.parse(text);
  } catch (cause) {
    throw new CocosError('RESULT_INVALID', 'The receipt is not JSON.', { cause });
  }
  const receipt = parseReceipt(value);
  if (canonicalJson(receipt) !== text)
    throw new CocosError('RESULT_INVALID', 'The receipt is not canonical JSON.');
  return receipt;
}

function parseReceipt(value: unknown): Receipt {
  const parsed = Receipt.safeParse(value);
  if (parsed.success) return parsed.data;
  const where = parsed.error.issues.map((issue) => issue.path.join('.') || 'the receipt').join(', ');
  throw new CocosError(
    'RESULT_INVALID',
    `The receipt does not have the documented format; see the fields ${where}.`,
  );
}
