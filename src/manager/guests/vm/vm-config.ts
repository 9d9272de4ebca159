import type { Protection } from '../platforms/protection.ts';
import type { BootFiles } from './boot-files.ts';

/** The vsock device: the kernel's, or that of vhost-device-vsock behind a unix socket. */
export type VsockDevice =
  | { readonly kind: 'kernel'; readonly cid: number }
  | { readonly kind: 'daemon'; readonly socketPath: string };

export interface VmConfig {
  /** Name of the process in listings; letters, digits, dot and hyphen. */
  readonly name: string;
  readonly accelerator: 'kvm' | 'tcg';
  /** QEMU's CPU model, such as `EPYC-v3`; part of the launch measurement. */
  readonly vcpuType: string;
  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly protection: Protection;
  readonly boot: BootFiles;
  /** Read-only root disk. */
  readonly rootImage: string;
  readonly vsock: VsockDevice | null;
  /** Empty disk for the guest's encrypted scratch space; null for none. */
  readonly scratchPath: string | null;
  /** Control socket of the software TPM; null for a guest without TPM. */
  readonly tpmPath: string | null;
  readonly qmpPath: string;
  /** File that takes the guest's console. */
  readonly consolePath: string;
}
