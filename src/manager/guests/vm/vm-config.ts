/** How the guest's memory and state are protected: by the hardware named, or not at all. */
export type Protection =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'sev-snp';
      /** 32 bytes for the HOST_DATA of the report, or none. */
      readonly hostData?: Uint8Array;
      /** Guest policy of the launch (SNP ABI, table 9). */
      readonly policy: number;
      readonly cbitPosition: number;
      readonly reducedPhysBits: number;
    }
  | {
      readonly kind: 'tdx';
      /** 48 bytes for MRCONFIGID, or none. */
      readonly configId?: Uint8Array;
      /** vsock port of the host's quote generation service. */
      readonly quotePort: number;
    };

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
  readonly image: {
    readonly firmware: string;
    readonly kernel: string;
    readonly initrd: string;
    readonly root: string;
    readonly commandLine: string;
    /** Files of a UEFI boot, in place of the four above; the variables are this guest's own copy. */
    readonly uefi?:
      | { readonly firmware: string; readonly variables: string; readonly kernel: string }
      | undefined;
  };
  readonly vsock: VsockDevice | null;
  /** Empty disk for the guest's encrypted scratch space; null for none. */
  readonly scratchPath: string | null;
  /** Control socket of the software TPM; null for a guest without TPM. */
  readonly tpmPath: string | null;
  readonly qmpPath: string;
  /** File that takes the guest's console. */
  readonly consolePath: string;
}
