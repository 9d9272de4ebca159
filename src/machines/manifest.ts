import { z } from 'zod';
import { UNPRINTABLE } from './unprintable.ts';

/**
 * The manifest: what all parties of a computation agreed to. Its digest is SHA-256 over its canonical JSON (RFC 8785)
 * and is part of the attested claims.
 */

/** `sha256:` and 64 lower-case hex digits. */
export const Digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'sha256: and 64 lower-case hex digits');
/** Digest of an input: SHA-256, or SHA3-256 as computed by the Go CocosAI. */
export const InputDigest = z
  .string()
  .regex(/^(sha256|sha3-256):[0-9a-f]{64}$/, 'sha256: or sha3-256: and 64 lower-case hex digits');
/** Ed25519 public key in text form: `ed25519:` and 43 base64url characters. */
export const SigningKeyText = z
  .string()
  .regex(/^ed25519:[A-Za-z0-9_-]{43}$/, 'ed25519: and 43 base64url characters');
/** KEM public key in text form: X-Wing (1216 bytes) or X25519 (32 bytes), base64url. */
export const KemKeyText = z
  .string()
  .regex(
    /^(x-wing:[A-Za-z0-9_-]{1622}|x25519:[A-Za-z0-9_-]{43})$/,
    'x-wing: and 1622, or x25519: and 43 base64url characters',
  );
/** A file or input name: no separators, no leading dot, and not `__proto__`. */
export const InputName = z
  .string()
  .regex(
    /^(?!__proto__$)[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/,
    'up to 128 letters, digits, dots, underscores and hyphens, not beginning with a dot or hyphen',
  );

/** Name under which the algorithm is uploaded; datasets are uploaded under their own names. */
export const ALGORITHM_INPUT = 'algorithm';

export const ComputationId = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
    'up to 64 letters, digits, dots, underscores and hyphens, beginning with a letter or digit',
  );

export const AlgorithmKind = z.enum(['binary', 'python', 'wasm']);

/** Bounds on what the host learns of a run beside the sealed bytes. A member that is missing bounds nothing. */
const Disclosure = z.strictObject({
  /** `binary`: the host learns whether the algorithm failed, not with which exit code or at which limit. */
  exitCode: z.enum(['exact', 'binary']).optional(),
  /**
   * The end of a run is published at a multiple of these seconds after its start, or at the time limit, and the sealed
   * result at a multiple of them after that.
   */
  runTimeSeconds: z.int().min(1).max(604_800).optional(),
  /** Zeros are added to the result up to a power of two, or up to a multiple of these bytes. */
  resultPadding: z.union([z.enum(['none', 'powerOfTwo']), z.int().min(1024).max(1_073_741_824)]).optional(),
  /** `off`: consumers get no log, since the host sees the number and the sizes of its lines. */
  log: z.enum(['live', 'off']).optional(),
});
export type Disclosure = z.infer<typeof Disclosure>;

export const Manifest = z.strictObject({
  version: z.literal(1),
  id: ComputationId,
  name: z
    .string()
    .min(1)
    .max(200)
    .refine((name) => name.search(UNPRINTABLE) < 0, 'a name has no control or invisible characters'),
  algorithm: z.strictObject({
    kind: AlgorithmKind,
    digest: InputDigest,
    provider: SigningKeyText,
    arguments: z.array(z.string().max(4096)).max(64).default([]),
  }),
  datasets: z
    .array(
      z.strictObject({
        name: InputName,
        digest: InputDigest,
        provider: SigningKeyText,
        /** The digest is that of the deterministic tar of a directory, which the agent unpacks. Absent for a file. */
        kind: z.literal('directory').optional(),
      }),
    )
    .max(64)
    .refine((list) => new Set(list.map((d) => d.name)).size === list.length, 'dataset names must differ')
    // Otherwise one upload would count for two inputs, and the receipt would name a dataset that never arrived.
    .refine(
      (list) => list.every((d) => d.name !== ALGORITHM_INPUT),
      `a dataset cannot be called ${ALGORITHM_INPUT}`,
    ),
  consumers: z
    .array(z.strictObject({ signing: SigningKeyText, kem: KemKeyText }))
    .min(1)
    .max(64)
    .refine((list) => new Set(list.map((c) => c.signing)).size === list.length, 'consumer keys must differ'),
  limits: z
    .strictObject({
      seconds: z.int().min(1).max(604_800).default(3600),
      memoryMiB: z.int().min(16).max(1_048_576).default(256),
      diskMiB: z.int().min(1).max(1_048_576).default(256),
      processes: z.int().min(1).max(4096).default(64),
      /** All inputs together; limited by the enclave's memory by default. */
      inputMiB: z.int().min(1).max(1_048_576).optional(),
      /** The inputs of one participant together. */
      participantMiB: z.int().min(1).max(1_048_576).optional(),
      /** Open uploads of one participant at once; 16 by default. */
      participantTransfers: z.int().min(1).max(65).optional(),
    })
    .prefault({}),
  /** Keys that may start the run; `auto` starts it once all inputs are committed. */
  start: z.union([z.literal('auto'), z.array(SigningKeyText).min(1).max(64)]).default('auto'),
  /** Keys that may stop the computation. */
  stop: z.array(SigningKeyText).max(64).default([]),
  /** Absent rather than empty by default, so that the digests of earlier manifests stay the same. */
  disclosure: Disclosure.optional(),
  /** Digest of the appraisal policy that all parties use, if they agreed on one. */
  policyDigest: Digest.optional(),
});

export type Manifest = z.infer<typeof Manifest>;
