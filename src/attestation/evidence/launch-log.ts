import { z } from 'zod';
import { hexOf } from '../encoding/byte-schemas.ts';

/**
 * The launch log: the host's list of what it launched. It is not trusted: the verifier recomputes the launch
 * measurement from it, and only when that equals the measurement in the report is the log known to be true; then
 * each component can be compared with the reference values and named when it differs.
 */

/** One range of guest memory that the launch measures without contents or as zeros (SEV metadata of the firmware). */
export const LaunchSection = z.strictObject({
  /** Guest physical address, a multiple of 4096. */
  gpa: z.int().min(0).max(0xffff_f000).multipleOf(4096),
  /** Bytes, a multiple of 4096. */
  size: z.int().min(4096).max(0x1000_0000).multipleOf(4096),
  page: z.enum(['zero', 'unmeasured', 'secrets', 'cpuid']),
});
export type LaunchSection = z.infer<typeof LaunchSection>;

/** Layout of the measurement after the firmware. */
export const FirmwareLayout = z.strictObject({
  /** Guest physical address of the kernel hashes table; null when this firmware cannot measure a kernel. */
  hashesTable: z.int().min(0).max(0xffff_ffff).nullable(),
  /** Sections that are measured after the page of the hashes table. */
  sections: z.array(LaunchSection).max(64),
  /** EIP of every vCPU but the first. */
  apEip: z.int().min(0).max(0xffff_ffff),
});
export type FirmwareLayout = z.infer<typeof FirmwareLayout>;

const Firmware = z.strictObject({
  /** A label for people: nothing measures it and nothing is compared with it. */
  name: z.string().min(1).max(200),
  /** Launch digest, hex, after the firmware's pages and its sections up to the kernel hashes page. */
  digest: hexOf(48),
  /** Absent for firmware without SEV metadata, which uses `PLAIN_FIRMWARE_LAYOUT`. */
  layout: FirmwareLayout.optional(),
});

const CommandLine = z
  .string()
  .max(16_384)
  .refine((text) => !text.includes('\0'), 'must not contain NUL');

export const VmLaunchLog = z.strictObject({
  kind: z.literal('vm'),
  firmware: Firmware,
  /** SHA-256 of the kernel file, hex. */
  kernel: hexOf(32),
  /** SHA-256 of the initrd file, hex. */
  initrd: hexOf(32),
  commandLine: CommandLine,
  vcpus: z.int().min(1).max(512),
  /** Name of the vCPU model given to the hypervisor, for example `EPYC-v4`. */
  vcpuType: z.string().min(1).max(64),
  /** SEV_FEATURES of the guest: 0x1, or 0x21 with DebugSwap. */
  guestFeatures: z.int().min(0).max(0xffff_ffff),
});
export type VmLaunchLog = z.infer<typeof VmLaunchLog>;

export const ProcessLaunchLog = z.strictObject({
  kind: z.literal('process'),
  /** SHA-256 of the Node.js binary, hex. */
  runtime: hexOf(32),
  /** SHA-256 of the agent bundle, hex. */
  agent: hexOf(32),
  commandLine: CommandLine,
});
export type ProcessLaunchLog = z.infer<typeof ProcessLaunchLog>;

export const LaunchLog = z.discriminatedUnion('kind', [VmLaunchLog, ProcessLaunchLog]);
export type LaunchLog = z.infer<typeof LaunchLog>;
