import { z } from 'zod';
import { Cause, DeadlineReached, Milliseconds, Text } from './common.ts';
import { Digest, InputDigest, Manifest } from './manifest.ts';

/** Events of a computation. The agent is the authority; the manager mirrors it. */
export const ComputationEvent = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('manifest.accepted'),
    manifest: Manifest,
    digest: Digest,
    atMs: Milliseconds,
  }),
  z.strictObject({ type: z.literal('input.receiving'), input: Text, transferId: Text }),
  z.strictObject({ type: z.literal('input.released'), input: Text }),
  z.strictObject({
    type: z.literal('input.committed'),
    input: Text,
    size: z.int().min(0),
    digest: InputDigest,
    atMs: Milliseconds,
  }),
  z.strictObject({ type: z.literal('run.requested'), by: Text, atMs: Milliseconds }),
  z.strictObject({
    type: z.literal('run.exited'),
    exitCode: z.int(),
    runtime: Text,
    startedMs: Milliseconds,
    endedMs: Milliseconds,
  }),
  z.strictObject({ type: z.literal('run.failed'), cause: Cause }),
  z.strictObject({ type: z.literal('result.sealed'), digest: Digest, size: z.int().min(0) }),
  z.strictObject({ type: z.literal('result.delivered'), consumer: Text }),
  z.strictObject({ type: z.literal('computation.stop'), by: Text }),
  DeadlineReached,
]);
export type ComputationEvent = z.infer<typeof ComputationEvent>;
