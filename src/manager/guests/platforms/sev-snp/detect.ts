import { type Finding, met, type PlatformReport, reportOf, unmet } from '../finding.ts';
import type { HostFacts } from '../host-facts.ts';
import { hasKernelVsock, hasKvm, hasTeeObject } from '../shared-needs.ts';

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
    firmware(facts),
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
  const need = 'the secure processor at /dev/sev';
  switch (sev) {
    case 'usable':
      return met(need, '/dev/sev can be opened');
    case 'denied':
      return unmet(need, '/dev/sev cannot be opened', 'Give the user of the manager access to /dev/sev.');
    case 'missing':
      return unmet(
        need,
        'there is no /dev/sev',
        'Load the kernel module ccp; update the SEV firmware in /lib/firmware/amd or the BIOS if it fails to initialize (dmesg | grep ccp).',
      );
  }
}

function capabilities({ qemu }: HostFacts): Finding {
  const need = 'an answer of QEMU to query-sev-capabilities';
  if (qemu.sev !== null) return met(need, `the encryption bit is ${qemu.sev.cbitpos}`);
  return unmet(need, `QEMU says: ${qemu.sevProblem}`, 'Check what comes before in this list.');
}

function firmware({ imageFiles }: HostFacts): Finding {
  const need = `the firmware ${SEV_SNP_FIRMWARE} in the image folder`;
  return imageFiles.has(SEV_SNP_FIRMWARE)
    ? met(need, 'it is there')
    : unmet(need, 'it is not there', 'Build the image with: npm run eos, or set COCOSAI_EOS_DIR.');
}
