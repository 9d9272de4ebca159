import { z } from 'zod';

/** What a virtual machine starts from. */
export const BootFiles = z.discriminatedUnion('kind', [
  /** Kernel, initrd and command line, given by QEMU to a firmware that keeps no variables. */
  z.strictObject({
    kind: z.literal('direct'),
    firmware: z.string(),
    kernel: z.string(),
    initrd: z.string(),
    commandLine: z.string(),
  }),
  /** A unified kernel image under a firmware with a variable store, of which each guest has its own copy. */
  z.strictObject({
    kind: z.literal('uefi'),
    firmware: z.string(),
    variables: z.string(),
    kernel: z.string(),
  }),
  /** A unified kernel image under a firmware that holds its variables itself, as a trust domain needs. */
  z.strictObject({ kind: z.literal('unified'), firmware: z.string(), kernel: z.string() }),
]);
export type BootFiles = z.infer<typeof BootFiles>;

/** The files of the guest image that one guest uses. */
export const ImageFiles = z.strictObject({
  rootImage: z.string(),
  boot: BootFiles,
  /** Starts in a moment, to find out whether KVM runs a guest here. */
  probe: z.strictObject({ kernel: z.string(), initrd: z.string() }),
});
export type ImageFiles = z.infer<typeof ImageFiles>;

/** Every file of it, for checks before anything is started. */
export function filesOf({ rootImage, boot }: ImageFiles): string[] {
  switch (boot.kind) {
    case 'direct':
      return [boot.firmware, boot.kernel, boot.initrd, rootImage];
    case 'uefi':
      return [boot.firmware, boot.variables, boot.kernel, rootImage];
    case 'unified':
      return [boot.firmware, boot.kernel, rootImage];
  }
}
