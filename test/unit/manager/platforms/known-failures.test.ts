import { describe, expect, it } from 'vitest';
import { explainFailure } from '../../../../src/manager/guests/platforms/platforms.ts';

/** Output of QEMU as people have reported it. */
const SNP: readonly [string, string, RegExp][] = [
  [
    'SEV-SNP that is off in KVM',
    'qemu-system-x86_64: -accel kvm: vm-type SEV-SNP not supported by KVM',
    /off in KVM.*BIOS/,
  ],
  [
    'no ASID left',
    "qemu-system-x86_64: -accel kvm: sev_common_kvm_init: failed to initialize ret=-16 fw_error=0 ''\nqemu-system-x86_64: -accel kvm: failed to initialize kvm: Operation not permitted",
    /ASID.*in use/,
  ],
  [
    'a kernel without the launch call',
    "qemu-system-x86_64: sev_snp_launch_start: SNP_LAUNCH_START ret=-25 fw_error=0 ''\nqemu-system-x86_64: sev_kvm_init: failed to create encryption context",
    /kernel and QEMU do not fit/,
  ],
  [
    'a secure processor with old firmware',
    "qemu-system-x86_64: sev_snp_launch_start: SNP_LAUNCH_START ret=-5 fw_error=3 ''",
    /secure processor refused.*firmware/,
  ],
  [
    'a launch that KVM refuses',
    "qemu-system-x86_64: sev_kvm_init: failed to initialize ret=-22 fw_error=0 ''\nqemu-system-x86_64: failed to initialize kvm: Operation not permitted",
    /KVM refused/,
  ],
  [
    'an ID block of another launch digest',
    "qemu-system-x86_64: sev_snp_launch_finish: SNP_LAUNCH_FINISH ret=-5 fw_error=11 'Bad measurement'",
    /ID block/,
  ],
  [
    'a QEMU without the object',
    "qemu-system-x86_64: -object sev-snp-guest,id=tee: Parameter 'qom-type' does not accept value 'sev-snp-guest'",
    /does not know the platform.*newer QEMU/,
  ],
  [
    'no access to KVM',
    'Could not access KVM kernel module: Permission denied\nqemu-system-x86_64: failed to initialize kvm: Permission denied',
    /may not use KVM.*group kvm/,
  ],
  [
    'no KVM',
    'qemu-system-x86_64: cannot set up private guest memory for sev-snp-guest: KVM required',
    /KVM is not available/,
  ],
];
const TDX: readonly [string, string, RegExp][] = [
  [
    'TDX that is off in KVM',
    'qemu-system-x86_64: -accel kvm: vm-type X86_TDX_VM not supported by KVM',
    /off in KVM.*BIOS/,
  ],
  [
    'TDX that is off in KVM, in newer words',
    'qemu-system-x86_64: vm-type TDX not supported by KVM',
    /off in KVM/,
  ],
  [
    'no key left',
    'qemu-system-x86_64: -accel kvm: KVM_TDX_INIT_VM failed: No space left on device',
    /private key.*in use/,
  ],
  [
    'a kernel with other calls',
    'qemu-system-x86_64: -accel kvm: get_tdx_capabilities: KVM_TDX_CAPABILITIES failed: Inappropriate ioctl for device',
    /kernel and QEMU do not fit/,
  ],
  [
    'a module that refuses',
    'qemu-system-x86_64: KVM_TDX_INIT_MEM_REGION failed Input/output error',
    /TDX module refused/,
  ],
  [
    'a QEMU without the object',
    "qemu-system-x86_64: -object tdx-guest,id=tdx: Parameter 'qom-type' does not accept value 'tdx-guest'",
    /does not know the platform/,
  ],
];

describe('a launch that fails', () => {
  it.each(SNP)('of an SEV-SNP guest explains %s', (_, output, meaning) => {
    expect(explainFailure('sev-snp', output)).toMatch(meaning);
  });

  it.each(TDX)('of a trust domain explains %s', (_, output, meaning) => {
    expect(explainFailure('tdx', output)).toMatch(meaning);
  });

  it('is not explained where its output is not known', () => {
    expect(explainFailure('sev-snp', 'qemu-system-x86_64: something else')).toBeNull();
  });
});
