import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { LaunchLog, VmLaunchLog } from '../../../attestation/evidence/launch-log.ts';
import { firmwareState } from '../../../attestation/measure/snp.ts';
import { attestationCrypto } from '../../../crypto/attestation-crypto.ts';
import { CocosError } from '../../../errors.ts';
import type { ImageFiles } from '../vm/boot-files.ts';
import type { HostFacts } from './host-facts.ts';
import type { Protection } from './protection.ts';

/** SEV_FEATURES: SNP active, nothing else. */
export const GUEST_FEATURES = 0x1;

/** What a platform needs to know of a guest to plan its launch. */
export interface PlannedGuest {
  readonly imageFolder: string;
  readonly vcpus: number;
  /** `sha256:` and the digest of the manifest, where it is known at the launch. */
  readonly manifestDigest: string | null;
  /** How a guest that nothing protects starts. */
  readonly boot: 'direct' | 'uefi';
  readonly facts: HostFacts;
}

/** What will be started and its measurement, computed from the very files that are given to QEMU. */
export interface GuestPlan {
  readonly image: ImageFiles;
  readonly protection: Protection;
  /** CPU model given to QEMU. */
  readonly vcpuType: string;
  /** The launch digest, or the MRTD of a trust domain. */
  readonly measurement: Uint8Array;
  /** Null where the hardware reports registers in place of a digest of everything. */
  readonly launchLog: LaunchLog | null;
}

/** Kernel, initrd and command line of a direct boot. */
export async function directBoot(imageFolder: string, firmware: string) {
  const fileOf = (name: string) => path.join(imageFolder, name);
  const commandLine = (await readImage(fileOf('cmdline'))).toString('utf8').trim();
  const boot = {
    kind: 'direct' as const,
    firmware: fileOf(firmware),
    kernel: fileOf('vmlinuz'),
    initrd: fileOf('initrd.img'),
    commandLine,
  };
  return { boot, image: imageFiles(imageFolder, boot) };
}

export function imageFiles(imageFolder: string, boot: ImageFiles['boot']): ImageFiles {
  const fileOf = (name: string) => path.join(imageFolder, name);
  return {
    rootImage: fileOf('root.img'),
    boot,
    probe: { kernel: fileOf('vmlinuz'), initrd: fileOf('initrd.img') },
  };
}

/** The log of a direct boot under a firmware that may measure kernel, initrd and command line. */
export async function directLog(
  boot: Awaited<ReturnType<typeof directBoot>>['boot'],
  shape: { readonly vcpus: number; readonly vcpuType: string },
): Promise<VmLaunchLog> {
  const firmware = firmwareState(await readImage(boot.firmware), attestationCrypto);
  return {
    kind: 'vm',
    firmware: {
      name: path.basename(boot.firmware),
      digest: firmware.state,
      ...(firmware.layout === undefined ? {} : { layout: firmware.layout }),
    },
    kernel: sha256Hex(await readImage(boot.kernel)),
    initrd: sha256Hex(await readImage(boot.initrd)),
    commandLine: boot.commandLine,
    ...shape,
    guestFeatures: GUEST_FEATURES,
  };
}

/** Bytes of a `sha256:` text, in base64 and filled with zeros to a length. */
export function paddedDigest(digest: string, length: number): string {
  const padded = Buffer.alloc(length);
  Buffer.from(digest.replace(/^sha256:/, ''), 'hex').copy(padded);
  return padded.toString('base64');
}

export function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** @throws CocosError HOST_IMAGE_MISSING */
export async function readImage(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new CocosError(
      'HOST_IMAGE_MISSING',
      `${file} cannot be read. Build the guest image with: npm run eos`,
      { cause },
    );
  }
}
