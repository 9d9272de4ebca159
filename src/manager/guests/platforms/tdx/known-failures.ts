import type { KnownFailure } from '../known-failures.ts';

export const TDX_FAILURES: readonly KnownFailure[] = [
  {
    pattern: /vm-type (X86_)?TDX(_VM)? not supported by KVM/i,
    cause: 'TDX is off in KVM.',
    remedy:
      'Enable TME, TME-MT, TDX and the SEAM loader in the BIOS, and load kvm_intel with tdx=1; the reason is in: dmesg | grep -i tdx.',
  },
  {
    pattern: /KVM_TDX_INIT_VM failed.*(No space left|resource busy)/i,
    cause: 'Every private key of TDX is in use.',
    remedy: 'Stop an enclave, or give TDX more keys: "TME-MT/TDX key split" in the BIOS.',
  },
  {
    pattern: /KVM_TDX_\w+ failed:? .*Inappropriate ioctl/i,
    cause: 'The kernel does not know this launch: kernel and QEMU do not fit together.',
    remedy: 'Use a kernel from 6.16 on with QEMU from 10.1 on.',
  },
  {
    pattern: /KVM_TDX_\w+ failed/,
    cause: 'The TDX module refused the launch.',
    remedy: 'Update the BIOS with its TDX module; the reason is in: dmesg | grep -i tdx.',
  },
];
