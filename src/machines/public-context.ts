import { z } from 'zod';
import { AttestationInput, AttestationLimits, ParticipantRole } from './attestation.machine.ts';
import { Milliseconds, PublicKeyText } from './common.ts';
import { RuntimeText } from './computation.events.ts';
import { Digest, InputName, Manifest } from './manifest.ts';
import type { MirroredKind } from './mirrored.ts';
import { ContextCause, causeOf, ExitCode } from './public-cause.ts';
import { TransferInput } from './transfer.machine.ts';

/** Contexts of the agent's machines as the host may see them: keys, names and digests of the manifest, numbers, codes. */

const Count = z.int().min(0);

const CONTEXTS: Readonly<Record<MirroredKind, z.ZodObject>> = {
  computation: z.strictObject({
    manifest: Manifest.nullable(),
    manifestDigest: Digest.nullable(),
    inputs: z.record(
      InputName,
      z.strictObject({ status: z.enum(['expected', 'receiving', 'committed']), size: Count }),
    ),
    runDeadlineMs: Milliseconds.nullable(),
    run: z
      .strictObject({
        exitCode: ExitCode,
        runtime: RuntimeText,
        startedMs: Milliseconds,
        endedMs: Milliseconds,
      })
      .nullable(),
    result: z.strictObject({ digest: Digest, size: Count }).nullable(),
    delivered: z.array(PublicKeyText).max(64),
    cause: ContextCause.nullable(),
  }),
  attestation: z.strictObject({
    ...AttestationInput.shape,
    limits: AttestationLimits,
    evidenceDigest: Digest.nullable(),
    participant: PublicKeyText.nullable(),
    role: ParticipantRole.nullable(),
    deadlineMs: Milliseconds,
    cause: ContextCause.nullable(),
  }),
  transfer: z.strictObject({
    ...TransferInput.shape,
    waitMs: z.int().min(1),
    segments: Count,
    received: Count,
    deadlineMs: Milliseconds.nullable(),
    cause: ContextCause.nullable(),
  }),
};

/** In the place of a member that does not fit. */
const FALLBACKS = [null, [], {}, 0];

/**
 * A context with its members that fit. A member that does not is empty, and the cause is then a defect of the agent.
 */
export function publicContext(
  kind: MirroredKind,
  context: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const { shape } = CONTEXTS[kind];
  const shown: Record<string, unknown> = {};
  let isComplete = true;
  for (const [name, value] of Object.entries(context)) {
    const schema = shape[name];
    if (schema === undefined) isComplete = false;
    else if (z.safeParse(schema, value).success) shown[name] = value;
    else {
      isComplete = false;
      shown[name] = FALLBACKS.find((each) => z.safeParse(schema, each).success) ?? null;
    }
  }
  return isComplete ? shown : { ...shown, cause: causeOf({ code: 'INTERNAL' }) };
}
