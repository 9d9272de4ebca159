import { z } from 'zod';
import { CocosError } from '../../errors.ts';
import { schemaProblems } from '../../schema-problems.ts';
import { hexOf } from '../encoding/byte-schemas.ts';
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

/**
 * One value. A list of one is the form of earlier versions; a list of several would accept mixtures of builds.
 *
 * @param absent why the value is needed
 */
const single = (value: z.ZodString, absent = '') =>
  z.union([value, z.tuple([value]).transform(([only]) => only)], {
    error: ({ input }) =>
      input === undefined
        ? `must be one value${absent}`
        : 'must be one value; several builds are listed under `builds`, each with its own values',
  });

/** What one layer of this build has; absent values are not compared. */
const DiceLayerReference = z.strictObject({
  codeHashes: z.tuple([Digest]).optional(),
  configurations: z.tuple([Digest]).optional(),
  authorityHashes: z.tuple([Digest]).optional(),
});

const Register = single(hexOf(48));
const NeededRegister = single(
  hexOf(48),
  ', since without MRTD, RTMR1 and RTMR2 another kernel, initrd or command line would be accepted',
);

/**
 * A trust domain. MRTD is the firmware, RTMR1 the kernel image, RTMR2 its command line and initrd: all three are needed.
 * RTMR0 holds settings of the host.
 */
const TdxReference = z.strictObject({
  mrtd: NeededRegister,
  rtmr0: Register.optional(),
  rtmr1: NeededRegister,
  rtmr2: NeededRegister,
  rtmr3: Register.optional(),
});

const PcrIndex = z.string().regex(/^(?:\d|1\d|2[0-3])$/, 'must be a PCR index, 0 to 23');

/** Values of the vTPM's PCRs, and the event log that produces them. */
const VtpmReference = z.strictObject({
  bank: z.enum(['sha256', 'sha384', 'sha512']).default('sha256'),
  /** Value of each PCR, hex. */
  pcrs: z.record(PcrIndex, single(Digest)),
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

/** Values of one build of EOS, started in one way. Evidence must match all of them, never some of one build and some of another. */
const Build = z.strictObject({
  eosVersion: z.string().min(1).max(128),
  vm: VmReference.optional(),
  process: ProcessReference.optional(),
  tdx: TdxReference.optional(),
  vtpm: VtpmReference.optional(),
  /** Layers of the DICE chain, first layer first. */
  dice: z.strictObject({ layers: z.array(DiceLayerReference).min(1).max(16) }).optional(),
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

const BuildName = z
  .string()
  .regex(/^[!-~](?:[ -~]{0,198}[!-~])?$/, 'must be 1 to 200 printable ASCII characters')
  .describe('Name of the build, shown in verdicts.');

const Version = z.literal(1);
const MAX_BUILDS = 64;

/** Kinds of launch, of which a build needs one. */
export const LAUNCH_KINDS = ['vm', 'process', 'tdx'] as const;
const hasLaunch = (build: z.infer<typeof Build>): boolean =>
  LAUNCH_KINDS.some((kind) => build[kind] !== undefined);
const NO_LAUNCH = 'needs `vm`, `process` or `tdx`';

/** A file of one build; the published JSON Schema is generated from this. */
export const SingleReference = z.strictObject({
  version: Version,
  name: BuildName.optional(),
  ...Build.shape,
});
const NamedBuild = z.strictObject({ name: BuildName, ...Build.shape });

/** A file of several builds, each complete in itself. */
export const ReferenceList = z.strictObject({
  version: Version,
  builds: z.array(NamedBuild.refine(hasLaunch, NO_LAUNCH)).min(1).max(MAX_BUILDS),
});

export type ReferenceBuild = z.infer<typeof NamedBuild>;

/** Builds that the relying party trusts, at least one; their names differ. */
export interface ReferenceValues {
  readonly builds: readonly [ReferenceBuild, ...ReferenceBuild[]];
}

const invalid = (sentence: string, cause?: unknown): CocosError =>
  new CocosError('REFERENCE_INVALID', sentence, { cause });

function parsed<Output>(schema: z.ZodType<Output>, json: unknown): Output {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const problems = schemaProblems(result.error, json).join('; ');
  throw invalid(`The reference values are invalid at ${problems}.`, result.error);
}

/** @throws CocosError REFERENCE_INVALID for no build, or for two builds of one name */
export function referenceValues(builds: readonly ReferenceBuild[]): ReferenceValues {
  const [first, ...more] = builds;
  if (first === undefined) throw invalid('The reference values contain no build.');
  const names = builds.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined)
    throw invalid(`The reference values contain two builds named '${twice}'. Name each build differently.`);
  return { builds: [first, ...more] };
}

/**
 * Reference values from parsed JSON: one build, or a list of them under `builds`.
 *
 * @throws CocosError REFERENCE_INVALID naming each place
 */
export function parseReferenceValues(json: unknown): ReferenceValues {
  if (typeof json === 'object' && json !== null && 'builds' in json)
    return referenceValues(parsed(ReferenceList, json).builds);
  const { version: _, name, ...build } = parsed(SingleReference.refine(hasLaunch, NO_LAUNCH), json);
  return referenceValues([{ name: name ?? `EOS ${build.eosVersion}`, ...build }]);
}

/** The build of a file that must contain exactly one. @throws CocosError REFERENCE_INVALID */
export function onlyBuild({ builds: [first, ...more] }: ReferenceValues): ReferenceBuild {
  if (more.length > 0)
    throw invalid(
      `The reference values contain ${more.length + 1} builds, but exactly one is expected here.`,
    );
  return first;
}
