import { type Finding, met, type PlatformReport, reportOf, unmet } from '../finding.ts';
import type { HostFacts } from '../host-facts.ts';
import { hasDevice, hasFirmware, hasKernelVsock, hasKvm, hasTeeObject } from '../shared-needs.ts';

/** First QEMU with `sev-snp-guest`. */
const QEMU_VERSION = [9, 1] as const;
export const SEV_SNP_FIRMWARE = 'ovmf-amdsev.fd';

/** What a guest under AMD SEV-SNP needs of the host, from the processor up. */
export function detectSevSnp(facts: HostFacts): PlatformReport {
  const findings = [
    processor(facts),
    hasKvm(facts),
    kernelModule(facts),
    secureProcessor(facts),
    hasTeeObject(facts, 'sev-snp-guest', QEMU_VERSION),
    capabilities(facts),
    hasKernelVsock(facts),
    hasFirmware(facts, SEV_SNP_FIRMWARE),
  ];
  return reportOf('sev-snp', findings, facts.miscCapacity['sev_es'] ?? null);
}

function processor({ cpuVendor, cpuFlags }: HostFacts): Finding {
  const need = 'an AMD EPYC processor of the third generation (7003) or later with SEV-SNP enabled';
  if (cpuFlags.has('sev_snp')) return met(need, 'the processor reports sev_snp');
  if (cpuVendor !== 'AuthenticAMD') {
    const found = cpuVendor === '' ? 'the processor is not known' : `the processor is ${cpuVendor}`;
    return unmet(need, found, 'Use a host with such a processor.');
  }
  return unmet(
    need,
    'the processor does not report sev_snp',
    'In the BIOS set up SMEE, SEV control, "SEV-ES ASID space limit" above 1, "SNP memory (RMP table) coverage" and SEV-SNP support.',
  );
}

function kernelModule({ parameters }: HostFacts): Finding {
  const need = 'SEV-SNP in the kernel module kvm_amd';
  const value = parameters['kvm_amd.sev_snp'];
  if (value === 'Y' || value === '1') return met(need, `kvm_amd.sev_snp is ${value}`);
  return value === null
    ? unmet(need, 'kvm_amd has no parameter sev_snp', 'Use a kernel from 6.11 on, with kvm_amd loaded.')
    : unmet(
        need,
        `kvm_amd.sev_snp is ${value}`,
        'Start the kernel with iommu.passthrough=0 and without iommu=pt or amd_iommu=off, and enable IOMMU and SNP in the BIOS; the reason is in: dmesg | grep -i -e snp -e sev.',
      );
}

function secureProcessor({ sev }: HostFacts): Finding {
  return hasDevice(sev, {
    ...{ need: 'the secure processor at /dev/sev', file: '/dev/sev' },
    denied: 'Give the user of the manager access to /dev/sev.',
    missing:
      'Load the kernel module ccp; update the SEV firmware in /lib/firmware/amd or the BIOS if it fails to initialize (dmesg | grep ccp).',
  });
}

function capabilities({ qemu }: HostFacts): Finding {
  const need = 'an answer of QEMU to query-sev-capabilities';
  if (qemu.sev !== null) return met(need, `the encryption bit is ${qemu.sev.cbitpos}`);
  return unmet(need, `QEMU says: ${qemu.sevProblem}`, 'Check what comes before in this list.');
}
