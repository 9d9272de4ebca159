import { type Finding, met, type PlatformReport, reportOf, unmet } from '../finding.ts';
import type { HostFacts } from '../host-facts.ts';
import { hasFirmware, hasKernelVsock, hasKvm, hasTeeObject } from '../shared-needs.ts';

/** First QEMU with `tdx-guest`. */
const QEMU_VERSION = [10, 1] as const;
export const TDX_FIRMWARE = 'ovmf-tdx.fd';

/** What a trust domain of Intel TDX needs of the host, from the processor up. */
export function detectTdx(facts: HostFacts): PlatformReport {
  const findings = [
    processor(facts),
    hasKvm(facts),
    kernelModule(facts),
    hasTeeObject(facts, 'tdx-guest', QEMU_VERSION),
    hasKernelVsock(facts),
    quoteService(facts),
    hasFirmware(facts, TDX_FIRMWARE),
  ];
  return reportOf('tdx', findings, facts.miscCapacity['tdx'] ?? null);
}

function processor({ cpuVendor, cpuFlags }: HostFacts): Finding {
  const need = 'an Intel Xeon processor with TDX enabled';
  if (cpuFlags.has('tdx_host_platform')) return met(need, 'the processor reports tdx_host_platform');
  if (cpuVendor !== 'GenuineIntel') {
    const found = cpuVendor === '' ? 'the processor is not known' : `the processor is ${cpuVendor}`;
    return unmet(need, found, 'Use a host with such a processor.');
  }
  return unmet(
    need,
    'the processor does not report tdx_host_platform',
    'In the BIOS set up TME, TME-MT, TDX, the SEAM loader and a TME-MT/TDX key split above 0.',
  );
}

function kernelModule({ parameters }: HostFacts): Finding {
  const need = 'TDX in the kernel module kvm_intel';
  const value = parameters['kvm_intel.tdx'];
  if (value === 'Y' || value === '1') return met(need, `kvm_intel.tdx is ${value}`);
  return value === null
    ? unmet(need, 'kvm_intel has no parameter tdx', 'Use a kernel from 6.16 on, with kvm_intel loaded.')
    : unmet(
        need,
        `kvm_intel.tdx is ${value}`,
        'Load kvm_intel with tdx=1 and start the kernel with nohibernate; the reason is in: dmesg | grep -i tdx.',
      );
}

function quoteService({ quoteSocket }: HostFacts): Finding {
  const need = 'the quote generation service (qgsd)';
  return quoteSocket === null
    ? unmet(
        need,
        'nothing is at /var/run/tdx-qgs/qgs.socket',
        'Install tdx-qgs, let it listen on its unix socket, and register the platform with a PCCS.',
      )
    : met(need, `it listens at ${quoteSocket}`);
}
