import type { KnownFailure } from '../known-failures.ts';

/** Codes are those of the kernel (errno) and of the secure processor (SEV-SNP firmware ABI, table 93). */
export const SEV_SNP_FAILURES: readonly KnownFailure[] = [
  {
    pattern: /vm-type SEV-SNP not supported by KVM/i,
    cause: 'SEV-SNP is off in KVM.',
    remedy:
      'Enable SMEE, SEV-SNP support and the RMP table in the BIOS, and start the kernel without iommu=pt; then kvm_amd.sev_snp is Y.',
  },
  {
    pattern: /sev\S*_kvm_init: failed to initialize ret=-16/,
    cause: 'Every ASID of SEV-SNP is in use.',
    remedy: 'Stop an enclave, or raise "SEV-ES ASID space limit" in the BIOS.',
  },
  {
    pattern: /(SNP_LAUNCH_START|failed to initialize) ret=-25/,
    cause: 'The kernel does not know this launch: kernel and QEMU do not fit together.',
    remedy: 'Use a kernel from 6.11 on with QEMU from 9.1 on.',
  },
  {
    pattern: /SNP_LAUNCH_FINISH ret=-5 fw_error=11/,
    cause: 'The ID block was signed for another launch digest.',
    remedy: 'Sign it again for this image and this number of vCPUs.',
  },
  {
    pattern: /SNP_LAUNCH_START ret=-5|failed to initialize ret=-5/,
    cause: 'The secure processor refused to begin the launch.',
    remedy: 'Update its firmware (/lib/firmware/amd or the BIOS); the reason is in: dmesg | grep ccp.',
  },
  {
    pattern: /(SNP_LAUNCH_START|failed to initialize) ret=-22/,
    cause: 'KVM refused the launch: SEV-SNP is not initialized, or kernel and QEMU do not fit together.',
    remedy: 'Check that kvm_amd.sev_snp is Y, and use a kernel from 6.11 on with QEMU from 9.1 on.',
  },
  {
    pattern: /Failed to open \/dev\/sev/,
    cause: 'The manager may not use the secure processor.',
    remedy: 'Give its user access to /dev/sev.',
  },
  {
    pattern: /(cbitpos|reduced_phys_bits) check failed/,
    cause: 'The host was changed since the manager looked at it.',
    remedy: 'Let it look again: cocos-cli host doctor.',
  },
];
