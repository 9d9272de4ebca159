import { z } from 'zod';
import { CocosError } from '../errors.ts';
import { hexOf } from './byte-schemas.ts';
import { FirmwareLayout } from './launch-log.ts';

/**
 * Reference values: what a genuine EOS build measures to. The image builder writes them as `reference-values.json`;
 * digests are plain lower-case hex.
 */

const File = z.strictObject({ name: z.string().min(1).max(200), sha256: hexOf(32) });

const VmReference = z.strictObject({
  firmware: z.strictObject({
    name: z.string().min(1).max(200),
    sha256: hexOf(32),
    /** Launch digest after the firmware, as `firmwareState` computes it. */
    state: hexOf(48),
    layout: FirmwareLayout.optional(),
  }),
  kernel: File,
  initrd: File,
  /** The whole kernel command line, with its `cocos.roothash=` parameter. */
  commandLine: z.string().max(16_384),
  /** Root hash of the dm-verity tree over the root image. */
  rootHash: z.string().regex(/^([0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/),
  vcpuTypes: z.array(z.string().min(1).max(64)).min(1).max(64),
  maxVcpus: z.int().min(1).max(512),
  guestFeatures: z.array(z.int().min(0).max(0xffff_ffff)).min(1).max(16).default([0x1, 0x21]),
});

const ProcessReference = z.strictObject({
  /** SHA-256 of the agent bundle. */
  agent: hexOf(32),
  /** SHA-256 of the Node.js binary. */
  runtime: hexOf(32),
  /** Arguments of the runtime after the bundle; not compared when left out. */
  commandLine: z.string().max(16_384).optional(),
});

export const ReferenceValues = z
  .strictObject({
    version: z.literal(1),
    eosVersion: z.string().min(1).max(128),
    vm: VmReference.optional(),
    process: ProcessReference.optional(),
    files: z.record(z.string().min(1).max(200), hexOf(32)).default({}),
  })
  .refine((values) => values.vm !== undefined || values.process !== undefined, 'needs `vm` or `process`');
export type ReferenceValues = z.infer<typeof ReferenceValues>;

/**
 * Reference values from parsed JSON.
 *
 * @throws CocosError REFERENCE_INVALID with `details.problems`
 */
export function parseReferenceValues(json: unknown): ReferenceValues {
  const result = ReferenceValues.safeParse(json);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => `${issue.path.join('.') || '(top)'}: ${issue.message}`);
  throw new CocosError('REFERENCE_INVALID', `the reference values are not valid: ${problems.join('; ')}`, {
    cause: result.error,
    details: { problems },
  });
}
