import { z } from 'zod';
import type { ByteReader } from '../crypto/byte-reader.ts';
import { concat, equal, fromBase64Url, fromUtf8, toBase64Url, u32be, utf8 } from '../crypto/bytes.ts';
import { sha256 } from '../crypto/digest.ts';
import { CocosError } from '../errors.ts';

/**
 * The audit record at the end of a result file: what the consumer judged the enclave by when it fetched the result, so
 * that anybody can judge it again offline. Nothing in it is trusted: the evidence proves itself, vendors signed the
 * collateral, and policy and reference values are compared with those of the auditor.
 *
 * u32 big-endian length, the record in JSON, then the SHA-256 of the file's header and the record. The digest detects
 * damage, not forgery.
 */

const DIGEST_BYTES = 32;
/** Evidence of 1 MiB, and collateral of several platforms, in base64url. */
const MAX_RECORD_BYTES = 32 * 1024 * 1024;

const DigestText = z.string().regex(/^sha256:[0-9a-f]{64}$/);
const Bytes = z.string().transform((text) => fromBase64Url(text, 'the audit record', 'RESULT_INVALID'));
const Signed = z.strictObject({ body: Bytes, signature: Bytes });
const List = z.array(Bytes).max(4096);

const AuditRecord = z.strictObject({
  version: z.literal(1),
  evidence: Bytes,
  /** The nonce of the challenge, and when it was created and the evidence was appraised: milliseconds since 1970. */
  nonce: Bytes,
  nonceIssuedAt: z.number().min(0),
  appraisedAt: z.number().min(0),
  /** The file, and the digest of the policy in it, as a manifest pins it. */
  policy: z.strictObject({ digest: DigestText, content: Bytes }),
  /** The file and its digest. */
  reference: z.strictObject({ digest: DigestText, content: Bytes }),
  collateral: z.strictObject({
    certificates: List,
    revocationLists: List,
    tcbInfos: z.array(Signed).max(4096),
    qeIdentities: z.array(Signed).max(4096),
  }),
});
type Parsed = z.infer<typeof AuditRecord>;
type ReadonlyDeep<T> = T extends Uint8Array
  ? T
  : T extends object
    ? { readonly [K in keyof T]: ReadonlyDeep<T[K]> }
    : T;

export type ResultAudit = ReadonlyDeep<Omit<Parsed, 'version'>>;

/** The bytes at the end of a result file whose header is `header`. @throws CocosError LIMIT_EXCEEDED */
export function encodeAudit(audit: ResultAudit, header: Uint8Array): Uint8Array {
  const json = utf8(JSON.stringify({ version: 1, ...toWire(audit) }));
  if (json.length > MAX_RECORD_BYTES) {
    throw new CocosError(
      'LIMIT_EXCEEDED',
      `The audit record of the result has ${json.length} bytes; at most ${MAX_RECORD_BYTES} are allowed. Name a folder with less collateral with --collateral.`,
    );
  }
  return concat(u32be(json.length), json, sha256(concat(header, json)));
}

function toWire({ evidence, nonce, policy, reference, collateral, ...times }: ResultAudit) {
  const file = ({ digest, content }: ResultAudit['policy']) => ({ digest, content: toBase64Url(content) });
  const signed = ({ body, signature }: ResultAudit['collateral']['tcbInfos'][number]) => ({
    body: toBase64Url(body),
    signature: toBase64Url(signature),
  });
  return {
    ...times,
    evidence: toBase64Url(evidence),
    nonce: toBase64Url(nonce),
    policy: file(policy),
    reference: file(reference),
    collateral: {
      certificates: collateral.certificates.map(toBase64Url),
      revocationLists: collateral.revocationLists.map(toBase64Url),
      tcbInfos: collateral.tcbInfos.map(signed),
      qeIdentities: collateral.qeIdentities.map(signed),
    },
  };
}

/**
 * Reads the record up to the end of the file.
 * @throws CocosError STREAM_TRUNCATED, STREAM_TRAILING; RESULT_INVALID if header or record were altered or are malformed
 */
export async function readAudit(reader: ByteReader, header: Uint8Array): Promise<ResultAudit> {
  const head = await reader.read(4);
  const length = new DataView(head.buffer, head.byteOffset).getUint32(0);
  if (length > MAX_RECORD_BYTES) throw invalid(`cannot have ${length} bytes`);
  const json = await reader.read(length);
  const digest = await reader.read(DIGEST_BYTES);
  if (!equal(digest, sha256(concat(header, json)))) {
    throw new CocosError(
      'RESULT_INVALID',
      'The header or the audit record of the result file was altered: they do not have the digest at its end.',
    );
  }
  if ((await reader.readOrEnd(1)) !== undefined) {
    throw new CocosError('STREAM_TRAILING', 'The result file continues after its audit record.');
  }
  let value: unknown;
  try {
    value = JSON.parse(fromUtf8(json, 'the audit record'));
  } catch (cause) {
    throw invalid('is not JSON', cause);
  }
  const parsed = AuditRecord.safeParse(value);
  if (!parsed.success) {
    const where = parsed.error.issues.map((issue) => issue.path.join('.') || 'the record').join(', ');
    throw invalid(`does not have the documented format; see the fields ${where}`, parsed.error);
  }
  const { version: _, ...audit } = parsed.data;
  return audit;
}

function invalid(what: string, cause?: unknown): CocosError {
  return new CocosError('RESULT_INVALID', `The audit record of the result file ${what}.`, { cause });
}
