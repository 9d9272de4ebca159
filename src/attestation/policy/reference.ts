import { z } from 'zod';
import { CocosError } from '../../errors.ts';
import { schemaProblems } from '../../schema-problems.ts';
import { DiceLayerRule } from '../dice/policy-rules.ts';
import { hexListOf, hexOf } from '../encoding/byte-schemas.ts';
import { FirmwareLayout } from '../evidence/launch-log.ts';

/**
 * Reference values: the measurements of a genuine EOS build. The image builder writes them as `reference-values.json`;
 * digests are plain lower-case hex.
 */

const File = z.strictObject({ name: z.string().min(1).max(200), sha256: hexOf(32) });

const Digest = z
  .string()
  .regex(/^(?:[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/, 'must be a digest of 32, 48 or 64 bytes in hex');

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
  /** The complete kernel command line, with its `cocos.roothash=` parameter. */
  commandLine: z.string().max(16_384),
  /** Root hash of the dm-verity tree over the root image. */
  rootHash: Digest,
  vcpuTypes: z.array(z.string().min(1).max(64)).min(1).max(64),
  maxVcpus: z.int().min(1).max(512),
  guestFeatures: z.array(z.int().min(0).max(0xffff_ffff)).min(1).max(16).default([0x1, 0x21]),
});

const ProcessReference = z.strictObject({
  /** SHA-256 of the agent bundle. */
  agent: hexOf(32),
  /** SHA-256 of the Node.js binary. */
  runtime: hexOf(32),
  /** Arguments of the runtime after the bundle; not compared if absent. */
  commandLine: z.string().max(16_384).optional(),
});

/** A trust domain: MRTD always, the runtime registers where the build knows them. */
const TdxReference = z.strictObject({
  mrtd: hexListOf(48),
  rtmr0: hexListOf(48).optional(),
  rtmr1: hexListOf(48).optional(),
  rtmr2: hexListOf(48).optional(),
  rtmr3: hexListOf(48).optional(),
});

const PcrIndex = z.string().regex(/^(?:\d|1\d|2[0-3])$/, 'must be a PCR index, 0 to 23');

/** Values of the vTPM's PCRs, and the event log that produces them. */
const VtpmReference = z.strictObject({
  bank: z.enum(['sha256', 'sha384', 'sha512']).default('sha256'),
  /** Accepted values of each PCR, hex. */
  pcrs: z.record(PcrIndex, z.array(Digest).min(1).max(64)),
  /** Every event that extends a PCR, in order. */
  events: z
    .array(
      z.strictObject({
        register: z.int().min(0).max(23),
        digest: Digest,
        description: z.string().max(200).optional(),
      }),
    )
    .max(16_384)
    .optional(),
});
export type VtpmReference = z.infer<typeof VtpmReference>;

const PackageText = z.string().regex(/^[!-~]{1,200}$/);

/** The members of a file of reference values; the published JSON Schema is generated from this. */
export const ReferenceMembers = z.strictObject({
  version: z.literal(1),
  eosVersion: z.string().min(1).max(128),
  vm: VmReference.optional(),
  process: ProcessReference.optional(),
  tdx: TdxReference.optional(),
  vtpm: VtpmReference.optional(),
  /** Layers of the DICE chain, first layer first. */
  dice: z.strictObject({ layers: z.array(DiceLayerRule).min(1).max(16) }).optional(),
  /** Packages of the build that are not the ones its sources pin; absent if all are. */
  substitutes: z
    .array(
      z.strictObject({
        name: PackageText,
        version: PackageText,
        /** Name and version of the pinned package. */
        substitutes: z.string().regex(/^[!-~]{1,200} [!-~]{1,200}$/),
      }),
    )
    .min(1)
    .max(1_024)
    .optional(),
  files: z.record(z.string().min(1).max(200), hexOf(32)).default({}),
});

export const ReferenceValues = ReferenceMembers.refine(
  ({ vm, process, tdx }) => vm !== undefined || process !== undefined || tdx !== undefined,
  'needs `vm`, `process` or `tdx`',
);
export type ReferenceValues = z.infer<typeof ReferenceValues>;

/**
 * Reference values from parsed JSON.
 *
 * @throws CocosError REFERENCE_INVALID naming each place
 */
export function parseReferenceValues(json: unknown): ReferenceValues {
  const result = ReferenceValues.safeParse(json);
  if (result.success) return result.data;
  const problems = schemaProblems(result.error, json).join('; ');
  throw new CocosError('REFERENCE_INVALID', `The reference values are invalid at ${problems}.`, {
    cause: result.error,
  });
}
