/** A failure of QEMU or KVM that is known: how it shows in QEMU's output, what it means, and what helps. */
export interface KnownFailure {
  readonly pattern: RegExp;
  readonly cause: string;
  readonly remedy: string;
}

/** Failures that a guest of every platform of hardware can have. */
export const TEE_FAILURES: readonly KnownFailure[] = [
  {
    pattern: /does not accept value '(sev-snp|tdx)-guest'|invalid object type.*(sev-snp|tdx)-guest/i,
    cause: 'This QEMU does not know the platform.',
    remedy: 'Install a newer QEMU and put it first on PATH.',
  },
  {
    pattern: /Could not access KVM kernel module: Permission denied/,
    cause: 'The manager may not use KVM.',
    remedy: 'Add its user to the group kvm.',
  },
  {
    pattern: /Could not access KVM kernel module|KVM required/,
    cause: 'KVM is not available.',
    remedy: 'Enable virtualization in the BIOS and load the kernel module kvm_amd or kvm_intel.',
  },
  {
    pattern: /vhost-vsock.*(unable to set guest cid|Address already in use)/i,
    cause: 'Another guest has the same vsock address.',
    remedy: 'Create the enclave again.',
  },
  {
    pattern: /cannot set up guest memory|Cannot allocate memory/,
    cause: 'The host has too little free memory for the guest.',
    remedy: 'Stop an enclave, or create this one with less memory.',
  },
];

/** The first known failure in what QEMU has printed; null for none. */
export function findFailure(known: readonly KnownFailure[], output: string): KnownFailure | null {
  return [...known, ...TEE_FAILURES].find(({ pattern }) => pattern.test(output)) ?? null;
}
