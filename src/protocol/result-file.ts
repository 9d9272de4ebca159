import { z } from 'zod';
import { AEAD_TAG_BYTES } from '../crypto/aead.ts';
import type { ByteReader } from '../crypto/byte-reader.ts';
import { concat, equal, fromBase64Url, fromUtf8, toBase64Url, u32be, utf8 } from '../crypto/bytes.ts';
import { createDigest } from '../crypto/digest.ts';
import { parseSigningKey } from '../crypto/keys.ts';
import { CocosError } from '../errors.ts';
import { type Receipt, verifyReceipt } from './receipt.ts';
import { openContentKey, resultSegments, type SealedContentKey } from './result.ts';
import { encodeAudit, type ResultAudit, readAudit } from './result-audit.ts';
import { frameSegments, readSegments } from './segment-frames.ts';
import { openStream } from './segment-stream.ts';
import { MAX_SEGMENT_SIZE, MIN_SEGMENT_SIZE, type SealedSegment } from './segments.ts';

/**
 * A sealed result on a consumer's disk: "COCOSRES", u32 big-endian length of the header, the header in JSON, the framed
 * segments, and in version 2 the audit record. The header is not secret. It is trusted only as far as the receipt's
 * signature or the sealed content key confirms it: anybody who knows the consumer's public key can make such a file.
 */

export const RESULT_MAGIC = utf8('COCOSRES');
/** Maximum header length: an X-Wing key, a receipt of 64 KiB in base64url, and a margin. */
export const MAX_RESULT_HEADER_BYTES = 128 * 1024;

const Bytes = z.string().max(MAX_RESULT_HEADER_BYTES);

const Header = z
  .strictObject({
    /** Version 2 names the recipient, and its file ends with an audit record. */
    version: z.union([z.literal(1), z.literal(2)]),
    /** Signing key of the consumer that the content key is sealed to, `ed25519:…`; only in version 2. */
    recipient: z.string().max(64).optional(),
    manifestDigest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
    computationId: z.string().min(1).max(64),
    aead: z.enum(['chacha20-poly1305', 'aes-256-gcm']),
    segmentSize: z.int().min(MIN_SEGMENT_SIZE).max(MAX_SEGMENT_SIZE),
    sealedKey: z.strictObject({ kem: z.enum(['x-wing', 'x25519']), enc: Bytes, ciphertext: Bytes }),
    /** Base64url of the receipt's canonical bytes, and of its signature. */
    receipt: Bytes,
    signature: Bytes,
    /** `ed25519:…`, the key that the evidence named in the receipt must attest. */
    agentSigningKey: z.string().max(64),
    /** Bytes of the packed plaintext. */
    size: z.int().min(0),
  })
  .refine(({ version, recipient }) => (version === 2) === (recipient !== undefined), {
    path: ['recipient'],
    message: 'version 2 names the recipient',
  });

/** Header of a result file with its byte fields decoded. */
export interface ResultHeader extends Omit<z.infer<typeof Header>, 'sealedKey' | 'receipt' | 'signature'> {
  readonly sealedKey: SealedContentKey;
  readonly receipt: Uint8Array;
  readonly signature: Uint8Array;
}

/** Magic, length and JSON of the header: the first bytes of the file. @throws CocosError RESULT_INVALID */
export function encodeResultHeader(header: ResultHeader): Uint8Array {
  const wire = {
    ...header,
    sealedKey: {
      kem: header.sealedKey.kem,
      enc: toBase64Url(header.sealedKey.enc),
      ciphertext: toBase64Url(header.sealedKey.ciphertext),
    },
    receipt: toBase64Url(header.receipt),
    signature: toBase64Url(header.signature),
  };
  const json = utf8(JSON.stringify(parseHeader(wire, Header)));
  if (json.length > MAX_RESULT_HEADER_BYTES)
    throw new CocosError('RESULT_INVALID', 'The result header is too long.');
  return concat(RESULT_MAGIC, u32be(json.length), json);
}

/** The bytes of a result file, for writing as a stream. */
export async function* writeResultFile(
  header: ResultHeader,
  segments: AsyncIterable<SealedSegment>,
  audit?: ResultAudit,
): AsyncGenerator<Uint8Array, void, undefined> {
  const head = encodeResultHeader(header);
  yield head;
  yield* frameSegments(segments);
  if (audit !== undefined) yield encodeAudit(audit, head);
}

/**
 * Reads the header of a result file. The rest remains in the reader.
 * @throws CocosError RESULT_INVALID if it is not a result file or the header is malformed; STREAM_TRUNCATED
 */
export async function readResultHeader(reader: ByteReader): Promise<ResultHeader> {
  const head = await reader.read(RESULT_MAGIC.length + 4);
  if (!equal(head.subarray(0, RESULT_MAGIC.length), RESULT_MAGIC)) {
    throw new CocosError('RESULT_INVALID', 'The file is not a result file.');
  }
  const length = new DataView(head.buffer, head.byteOffset).getUint32(RESULT_MAGIC.length);
  if (length > MAX_RESULT_HEADER_BYTES) {
    throw new CocosError(
      'RESULT_INVALID',
      `The result file is damaged: its header cannot have ${length} bytes.`,
    );
  }
  const json = await reader.read(length);
  let value: unknown;
  try {
    value = JSON.parse(fromUtf8(json, 'the result header'));
  } catch (cause) {
    throw new CocosError('RESULT_INVALID', 'The result header is not JSON.', { cause });
  }
  const header = parseHeader(value, Header);
  const decode = (text: string) => fromBase64Url(text, 'the result header', 'RESULT_INVALID');
  const { sealedKey } = header;
  const decoded = {
    ...header,
    sealedKey: { kem: sealedKey.kem, enc: decode(sealedKey.enc), ciphertext: decode(sealedKey.ciphertext) },
    receipt: decode(header.receipt),
    signature: decode(header.signature),
  };
  // Otherwise some bytes of the file could change without consequence.
  if (header.version === 2 && !equal(encodeResultHeader(decoded).subarray(head.length), json)) {
    throw new CocosError('RESULT_INVALID', 'The result header does not have its canonical form.');
  }
  return decoded;
}

/**
 * The receipt of a header, verified under the agent key in the header and compared with the header's fields. Only the
 * evidence proves that this key is the agent's: appraise the evidence whose digest the receipt names.
 * @throws CocosError RESULT_INVALID if signature, computation, manifest or size do not match
 */
export function verifyResultHeader(header: ResultHeader): Receipt {
  let agentKey: Uint8Array;
  try {
    agentKey = parseSigningKey(header.agentSigningKey);
  } catch (cause) {
    throw new CocosError('RESULT_INVALID', 'The agent key in the result header is malformed.', { cause });
  }
  const receipt = verifyReceipt(header.receipt, header.signature, agentKey);
  for (const [what, stated, signed] of [
    ['computation', header.computationId, receipt.computationId],
    ['manifest', header.manifestDigest, receipt.manifestDigest],
    ['size', header.size, receipt.resultSize],
  ] as const) {
    if (stated !== signed) {
      throw new CocosError('RESULT_INVALID', `The receipt refers to another ${what} than the header.`, {
        details: { stated, signed },
      });
    }
  }
  return receipt;
}

/**
 * Opens the content of a result file after its header: the packed plaintext, chunk by chunk. It must not be trusted
 * before the generator has ended, since size and digest are checked at the end.
 * @throws CocosError CRYPTO_OPEN_FAILED if the key or a segment does not open; STREAM_TRUNCATED; STREAM_TRAILING for
 * bytes after the end; RESULT_INVALID if the receipt does not verify or the plaintext does not have its size
 * and digest
 */
export async function* openResult(
  header: ResultHeader,
  reader: ByteReader,
  consumer: { readonly kemSecretKey: Uint8Array; readonly signing: string },
): AsyncGenerator<Uint8Array, void, undefined> {
  const receipt = verifyResultHeader(header);
  const { manifestDigest, sealedKey } = header;
  const contentKey = openContentKey(sealedKey, consumer.kemSecretKey, consumer.signing, manifestDigest);
  const digest = createDigest();
  for await (const chunk of openStream(readSegments(reader), resultSegments({ ...header, contentKey }))) {
    digest.update(chunk);
    if (digest.size > receipt.resultSize) break;
    yield chunk;
  }
  if (digest.size !== receipt.resultSize || digest.finish() !== receipt.resultDigest) {
    throw new CocosError('RESULT_INVALID', 'The result does not have the size and digest of its receipt.');
  }
  await readEnd(header, reader);
}

/**
 * Reads the sealed segments after the header, without a key, and the audit record after them.
 *
 * @param visit receives each segment
 * @returns the digest of the sealed bytes without their frames, as in the receipt, and the record of a file of version 2
 * @throws CocosError FRAME_INVALID, STREAM_TRUNCATED, STREAM_TRAILING, RESULT_INVALID
 */
export async function readSealedBody(
  header: ResultHeader,
  reader: ByteReader,
  visit: (segment: SealedSegment) => void = () => undefined,
): Promise<{ readonly sealedDigest: string; readonly audit: ResultAudit | null }> {
  const digest = createDigest();
  for await (const segment of readSegments(reader, 0, header.segmentSize + AEAD_TAG_BYTES)) {
    digest.update(segment.bytes);
    visit(segment);
  }
  return { sealedDigest: digest.finish(), audit: await readEnd(header, reader) };
}

/** What follows the last segment. */
async function readEnd(header: ResultHeader, reader: ByteReader): Promise<ResultAudit | null> {
  if (header.version === 2) return readAudit(reader, encodeResultHeader(header));
  if ((await reader.readOrEnd(1)) === undefined) return null;
  throw new CocosError('STREAM_TRAILING', 'The result file continues after its last segment.');
}

function parseHeader<T>(value: unknown, schema: z.ZodType<T>): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const where = parsed.error.issues.map((issue) => issue.path.join('.') || 'the header').join(', ');
  throw new CocosError(
    'RESULT_INVALID',
    `The result header does not have the documented format; see the fields ${where}.`,
  );
}
