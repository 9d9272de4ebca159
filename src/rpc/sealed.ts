import { z } from 'zod';
import { utf8 } from '../crypto/bytes.ts';
import { CocosError } from '../errors.ts';
import { decodeMsgpack, encodeMsgpack } from '../link/wire/msgpack.ts';
import { Cause } from '../machines/common.ts';
import { InputDigest } from '../machines/manifest.ts';

/** Bodies that participants and agent exchange under the keys of a session, as msgpack. */

export const Bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'must be bytes');

export const SealedRequest = z.discriminatedUnion('method', [
  z.strictObject({ method: z.literal('status') }),
  z.strictObject({
    method: z.literal('transfer.open'),
    input: z.string().max(128),
    /** Bytes of the sealed stream. */
    size: z.int().min(0),
    /** Digest of the content, as in the manifest. */
    digest: InputDigest,
    /** Bytes of the content, if the stream is its gzip. */
    inflatedSize: z.int().min(0).optional(),
    /** The sender's preference; the agent decides. */
    segmentSize: z.int().min(1).optional(),
  }),
  z.strictObject({ method: z.literal('transfer.finish'), transferId: z.string().max(64) }),
  z.strictObject({ method: z.literal('transfer.abort'), transferId: z.string().max(64) }),
  z.strictObject({ method: z.literal('run.start') }),
  z.strictObject({ method: z.literal('computation.stop') }),
  z.strictObject({ method: z.literal('result.open') }),
  z.strictObject({ method: z.literal('result.confirm') }),
  z.strictObject({ method: z.literal('session.close') }),
]);
export type SealedRequest = z.infer<typeof SealedRequest>;

/** The view of the computation shown to every participant. */
export const ComputationStatus = z.strictObject({
  state: z.string(),
  inputs: z.record(z.string(), z.strictObject({ status: z.string(), size: z.number() })),
  /** Digest of the sealed bytes. The receipt has the digest of the content. */
  result: z.strictObject({ digest: z.string(), size: z.number() }).nullable(),
  exitCode: z.number().nullable(),
  cause: Cause.nullable(),
});
export type ComputationStatus = z.infer<typeof ComputationStatus>;

export const TransferOpened = z.strictObject({
  transferId: z.string(),
  aead: z.enum(['chacha20-poly1305', 'aes-256-gcm']),
  segmentSize: z.int().min(1),
  /** Number of segments that the agent already has, and index of the next one. */
  firstSegment: z.int().min(0),
  /** Counts how often this transfer was opened; each attempt has a separate key. */
  attempt: z.int().min(1),
  /** Valid for one stream of segments. */
  ticket: Bytes,
});
export type TransferOpened = z.infer<typeof TransferOpened>;

export const TransferFinished = z.strictObject({ digest: InputDigest, size: z.int().min(0) });
export type TransferFinished = z.infer<typeof TransferFinished>;

export const ResultOpened = z.strictObject({
  computationId: z.string(),
  ticket: Bytes,
  aead: z.enum(['chacha20-poly1305', 'aes-256-gcm']),
  segmentSize: z.int().min(1),
  segments: z.int().min(1),
  size: z.int().min(0),
  sealedKey: z.strictObject({ kem: z.enum(['x-wing', 'x25519']), enc: Bytes, ciphertext: Bytes }),
  receipt: Bytes,
  signature: Bytes,
  agentSigningKey: Bytes,
});
export type ResultOpened = z.infer<typeof ResultOpened>;

export const SessionHello = z.strictObject({ version: z.string(), status: ComputationStatus });

export const FollowItem = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('status'), status: ComputationStatus }),
  z.strictObject({ kind: z.literal('log'), stream: z.enum(['stdout', 'stderr']), line: z.string() }),
]);
export type FollowItem = z.infer<typeof FollowItem>;

const SealedAnswer = z.union([
  z.strictObject({ ok: z.literal(true), value: z.unknown() }),
  z.strictObject({ ok: z.literal(false), error: Cause }),
]);

/** Associated data of sealed bodies, so that one kind cannot be used as another. */
export const ASSOCIATED = {
  call: utf8('call'),
  answer: (sequence: number) => utf8(`answer ${sequence}`),
  follow: utf8('follow'),
  hello: utf8('hello'),
  item: utf8('item'),
} as const;

/** Label of the sub-channel of a followed computation. */
export function followLabel(sequence: number): string {
  return `follow ${sequence}`;
}

export function encodeBody(value: unknown): Uint8Array {
  return encodeMsgpack(value);
}

/** @throws CocosError INPUT_INVALID if the opened body does not match the schema */
export function decodeBody<T>(schema: z.ZodType<T>, bytes: Uint8Array): T {
  const parsed = schema.safeParse(decodeMsgpack(bytes));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new CocosError('INPUT_INVALID', `The sealed message is malformed at '${issue?.path.join('.')}'.`);
}

/** The value of an answer. @throws CocosError the error that the agent sealed. */
export function decodeAnswer<T>(schema: z.ZodType<T>, bytes: Uint8Array): T {
  const answer = decodeBody(SealedAnswer, bytes);
  if (!answer.ok) throw CocosError.fromJson(answer.error);
  const parsed = schema.safeParse(answer.value);
  if (parsed.success) return parsed.data;
  throw new CocosError(
    'INPUT_INVALID',
    'The agent sent an answer in an unknown format; update the command line.',
  );
}
