import { PAGE_BYTES } from './page.ts';

/**
 * The initial state of a vCPU as the launch measures it: one VMSA page (AMD64 Architecture Programmer's Manual,
 * volume 2, appendix B), with the reset values that the hypervisor puts in.
 */

/** Hypervisors differ in a few reset values and in the order of sections. */
export type Vmm = 'qemu' | 'ec2' | 'gce';

/** EIP of the first vCPU: the x86 reset vector. */
export const BSP_EIP = 0xffff_fff0;

export interface VmsaInput {
  readonly eip: number;
  /** CPUID(1).EAX of the vCPU model. */
  readonly signature: number;
  /** SEV_FEATURES. */
  readonly guestFeatures: number;
  readonly vmm: Vmm;
}

interface ResetValues {
  /** Attributes of CS, SS and TR. */
  readonly cs: number;
  readonly ss: number;
  readonly tr: number;
  readonly rdx: number;
  readonly pat: bigint;
  readonly mxcsr: number;
  readonly fcw: number;
}

const PAT = 0x0007_0406_0007_0406n;
/** RDX of a CPU after reset where the hypervisor does not set the CPUID signature. */
const RESET_RDX = 0x600;

function resetValues(input: VmsaInput): ResetValues {
  switch (input.vmm) {
    case 'qemu':
      return { cs: 0x9b, ss: 0x93, tr: 0x8b, rdx: input.signature, pat: PAT, mxcsr: 0x1f80, fcw: 0x37f };
    case 'ec2':
      return { cs: 0x9a, ss: 0x92, tr: 0x83, rdx: RESET_RDX, pat: PAT, mxcsr: 0, fcw: 0 };
    case 'gce':
      return { cs: 0x9b, ss: 0x93, tr: 0x8b, rdx: RESET_RDX, pat: 0x70106n, mxcsr: 0, fcw: 0 };
  }
}

/** Builds the 4096 bytes of one VMSA page. */
export function vmsaPage(input: VmsaInput): Uint8Array {
  const page = new Uint8Array(PAGE_BYTES);
  const view = new DataView(page.buffer);
  const values = resetValues(input);
  const segment = (at: number, selector: number, attributes: number, base = 0): void => {
    view.setUint16(at, selector, true);
    view.setUint16(at + 2, attributes, true);
    view.setUint32(at + 4, 0xffff, true);
    view.setBigUint64(at + 8, BigInt(base), true);
  };
  const u64 = (at: number, value: bigint): void => view.setBigUint64(at, value, true);

  segment(0x000, 0, 0x93); // es
  segment(0x010, 0xf000, values.cs, (input.eip & 0xffff_0000) >>> 0); // cs
  segment(0x020, 0, values.ss); // ss
  segment(0x030, 0, 0x93); // ds
  segment(0x040, 0, 0x93); // fs
  segment(0x050, 0, 0x93); // gs
  segment(0x060, 0, 0); // gdtr
  segment(0x070, 0, 0x82); // ldtr
  segment(0x080, 0, 0); // idtr
  segment(0x090, 0, values.tr); // tr
  u64(0x0d0, 0x1000n); // efer: SVME
  u64(0x148, 0x40n); // cr4: MCE
  u64(0x158, 0x10n); // cr0: ET
  u64(0x160, 0x400n); // dr7
  u64(0x168, 0xffff_0ff0n); // dr6
  u64(0x170, 0x2n); // rflags
  u64(0x178, BigInt(input.eip & 0xffff)); // rip
  u64(0x268, values.pat); // g_pat
  u64(0x310, BigInt(values.rdx)); // rdx
  u64(0x3b0, BigInt(input.guestFeatures)); // sev_features
  u64(0x3e8, 0x1n); // xcr0
  view.setUint32(0x408, values.mxcsr, true);
  view.setUint16(0x410, values.fcw, true);
  return page;
}
