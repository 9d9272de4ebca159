import { z } from 'zod';
import { DeadlineReached, Milliseconds, PublicKeyText, TransferId } from './common.ts';
import { Digest, InputDigest, InputName, Manifest } from './manifest.ts';
import { ExitCode, PublicCause } from './public-cause.ts';

/** Name and version of an interpreter of the image. */
export const RuntimeText = z.string().regex(/^[a-z0-9][A-Za-z0-9 ,.+-]{0,63}$/);

/** Events of a computation. The agent is the authority; the manager mirrors it. */
export const ComputationEvent = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('manifest.accepted'),
    manifest: Manifest,
    digest: Digest,
    atMs: Milliseconds,
  }),
  z.strictObject({ type: z.literal('input.receiving'), input: InputName, transferId: TransferId }),
  z.strictObject({ type: z.literal('input.released'), input: InputName }),
  z.strictObject({
    type: z.literal('input.committed'),
    input: InputName,
    size: z.int().min(0),
    digest: InputDigest,
    atMs: Milliseconds,
  }),
  z.strictObject({ type: z.literal('run.requested'), by: PublicKeyText, atMs: Milliseconds }),
  z.strictObject({
    type: z.literal('run.exited'),
    exitCode: ExitCode,
    runtime: RuntimeText,
    startedMs: Milliseconds,
    endedMs: Milliseconds,
  }),
  z.strictObject({ type: z.literal('run.failed'), cause: PublicCause }),
  /** The digest is the one of the sealed bytes: from the digest of the plaintext, a result could be guessed. */
  z.strictObject({ type: z.literal('result.sealed'), digest: Digest, size: z.int().min(0) }),
  z.strictObject({ type: z.literal('result.delivered'), consumer: PublicKeyText }),
  z.strictObject({ type: z.literal('computation.stop'), by: PublicKeyText }),
  DeadlineReached,
]);
export type ComputationEvent = z.infer<typeof ComputationEvent>;
