import { PAGE_BYTES } from './page.ts';

/**
 * The initial state of a vCPU as the launch measures it: one VMSA page (AMD64 Architecture Programmer's Manual,
 * volume 2, appendix B), with the reset values that the hypervisor sets.
 */

/** Hypervisors differ in a few reset values and in the order of sections. */
export const VMMS = ['qemu', 'ec2', 'gce'] as const;
export type Vmm = (typeof VMMS)[number];

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
/** RDX of a CPU after reset if the hypervisor does not set the CPUID signature. */
const RESET_RDX = 0x600;

function resetValues(input: VmsaInput): ResetValues {
  switch (input.vmm) {
    case 'qemu':
      return { cs: 0x9b, ss: 0x93, tr: 0x8b, rdx: input.signature, pat: PAT, mxcsr: 0x1f80, fcw: 0x37f };
    case 'ec2':
      return {
        cs: input.eip === BSP_EIP ? 0x9a : 0x9b,
        ss: 0x92,
        tr: 0x83,
        rdx: RESET_RDX,
        pat: PAT,
        mxcsr: 0,
        fcw: 0,
      };
    case 'gce':
      return { cs: 0x9b, ss: 0x93, tr: 0x8b, rdx: RESET_RDX, pat: 0x70106n, mxcsr: 0, fcw: 0 };
  }
}

interface SegmentValues {
  readonly selector?: number;
  readonly attributes: number;
  readonly limit?: number;
  readonly base?: number;
}

/** Values that depend on how a vCPU starts. */
interface VcpuState {
  readonly cs: SegmentValues;
  readonly ss: SegmentValues;
  /** ES, DS and FS. */
  readonly data: SegmentValues;
  readonly tr: number;
  readonly cr0: bigint;
  readonly rip: number;
  readonly pat: bigint;
  readonly rdx: number;
  readonly features: number;
  readonly mxcsr: number;
  readonly fcw: number;
}

function writePage(state: VcpuState): Uint8Array {
  const page = new Uint8Array(PAGE_BYTES);
  const view = new DataView(page.buffer);
  const segment = (at: number, values: SegmentValues): void => {
    view.setUint16(at, values.selector ?? 0, true);
    view.setUint16(at + 2, values.attributes, true);
    view.setUint32(at + 4, values.limit ?? 0xffff, true);
    view.setBigUint64(at + 8, BigInt(values.base ?? 0), true);
  };
  const u64 = (at: number, value: bigint): void => view.setBigUint64(at, value, true);

  segment(0x000, state.data); // es
  segment(0x010, state.cs); // cs
  segment(0x020, state.ss); // ss
  segment(0x030, state.data); // ds
  segment(0x040, state.data); // fs
  segment(0x050, { attributes: 0x93 }); // gs
  segment(0x060, { attributes: 0 }); // gdtr
  segment(0x070, { attributes: 0x82 }); // ldtr
  segment(0x080, { attributes: 0 }); // idtr
  segment(0x090, { attributes: state.tr }); // tr
  u64(0x0d0, 0x1000n); // efer: SVME
  u64(0x148, 0x40n); // cr4: MCE
  u64(0x158, state.cr0); // cr0
  u64(0x160, 0x400n); // dr7
  u64(0x168, 0xffff_0ff0n); // dr6
  u64(0x170, 0x2n); // rflags
  u64(0x178, BigInt(state.rip)); // rip
  u64(0x268, state.pat); // g_pat
  u64(0x310, BigInt(state.rdx)); // rdx
  u64(0x3b0, BigInt(state.features)); // sev_features
  u64(0x3e8, 0x1n); // xcr0
  view.setUint32(0x408, state.mxcsr, true);
  view.setUint16(0x410, state.fcw, true);
  return page;
}

/** Builds the 4096 bytes of one VMSA page of a vCPU in real mode. */
export function vmsaPage(input: VmsaInput): Uint8Array {
  const values = resetValues(input);
  return writePage({
    cs: { selector: 0xf000, attributes: values.cs, base: (input.eip & 0xffff_0000) >>> 0 },
    ss: { attributes: values.ss },
    data: { attributes: 0x93 },
    tr: values.tr,
    cr0: 0x10n, // ET
    rip: input.eip & 0xffff,
    pat: values.pat,
    rdx: values.rdx,
    features: input.guestFeatures,
    mxcsr: values.mxcsr,
    fcw: values.fcw,
  });
}

/**
 * Builds the VMSA page of a vCPU under an SVSM, which starts in 32-bit protected mode with flat segments (QEMU for
 * COCONUT-SVSM).
 *
 * @param eip absolute address of the SVSM's entry.
 */
export function svsmVmsaPage(eip: number, signature: number): Uint8Array {
  const flat = { selector: 16, attributes: 0xc93, limit: 0xffff_ffff };
  return writePage({
    cs: { selector: 8, attributes: 0xc9b, limit: 0xffff_ffff },
    ss: flat,
    data: flat,
    tr: 0x8b,
    cr0: 0x11n, // ET, PE
    rip: eip,
    pat: PAT,
    rdx: signature,
    features: 0x1,
    // The reset value of MXCSR, and none of FCW: so are the published digests of guests under COCONUT-SVSM, whose pages
    // were read from KVM. The pages of other guests have both.
    mxcsr: 0x1f80,
    fcw: 0,
  });
}
