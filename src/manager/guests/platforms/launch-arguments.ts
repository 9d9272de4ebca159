import { CocosError } from '../../../errors.ts';

/** What a platform adds to the arguments of QEMU. */
export interface LaunchArguments {
  /** Appended to the value of `-machine`. */
  readonly machine: string;
  readonly objects: readonly string[];
  /** The platform is hardware, which only KVM can use. */
  readonly needsKvm: boolean;
}

/** The machine has a TEE object with the id `tee`. */
export const TEE_MACHINE = ',confidential-guest-support=tee,kernel-irqchip=split';

/** @throws CocosError CONFIG_INVALID when the launch data is not base64 of so many bytes */
export function base64OfLength(text: string, length: number): string {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length === length && bytes.toString('base64') === text) return text;
  throw new CocosError(
    'CONFIG_INVALID',
    `The launch data of the TEE has ${bytes.length} bytes; it needs ${length}.`,
  );
}
