import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js';
import type { AttestationHashes } from '../../crypto/crypto-port.ts';
import { CocosError } from '../../errors.ts';
import type { FirmwareLayout, LaunchSection } from '../evidence/launch-log.ts';
import { kernelHashesPage, MAX_TABLE_OFFSET } from './kernel-hashes.ts';
import { type OvmfMetadata, type OvmfSection, type OvmfSectionType, readOvmfMetadata } from './ovmf.ts';
import { extendBare, extendNormal, extendVmsa, initialDigest, PAGE_BYTES, PAGE_TYPE } from './page.ts';
import { cpuidSignature } from './vcpu-types.ts';
import { BSP_EIP, type Vmm, vmsaPage } from './vmsa.ts';

/**
 * The SEV-SNP launch digest of a direct-boot guest: firmware pages, metadata sections with the kernel hashes page
 * among them, then one save area for each vCPU.
 */

/** The firmware image ends at 4 GiB. */
const FIRMWARE_END = 0x1_0000_0000;
const MAX_FIRMWARE_BYTES = 64 * 1024 * 1024;

/**
 * Layout of firmware without SEV metadata (SeaBIOS), which only the emulated platform launches: after the firmware's
 * pages comes the page of the kernel hashes table at this fixed address, nothing else, and every vCPU starts at the
 * reset vector. The address is that of common OVMF builds.
 */
export const PLAIN_FIRMWARE_LAYOUT: FirmwareLayout = { hashesTable: 0x81_0c00, sections: [], apEip: BSP_EIP };

const SECTION_PAGES: Readonly<Record<Exclude<OvmfSectionType, 'kernel-hashes'>, LaunchSection['page']>> = {
  'sec-mem': 'zero',
  secrets: 'secrets',
  cpuid: 'cpuid',
  'svsm-caa': 'zero',
};

export interface FirmwareState {
  /** Launch digest, 96 hex digits, after the firmware and its sections up to the kernel hashes page. */
  readonly state: string;
  /** Layout after the firmware; undefined for firmware without SEV metadata, which uses `PLAIN_FIRMWARE_LAYOUT`. */
  readonly layout: FirmwareLayout | undefined;
}

/** Launch digest after the pages of a firmware image alone. */
export function measureFirmwarePages(firmware: Uint8Array, hashes: AttestationHashes): Uint8Array {
  if (firmware.length === 0 || firmware.length % PAGE_BYTES !== 0 || firmware.length > MAX_FIRMWARE_BYTES) {
    throw new CocosError('MEASURE_UNSUPPORTED', `a firmware of ${firmware.length} bytes cannot be measured`);
  }
  return extendNormal(initialDigest(), FIRMWARE_END - firmware.length, firmware, hashes);
}

function launchSection(section: OvmfSection, vmm: Vmm): LaunchSection {
  if (section.type === 'kernel-hashes') {
    throw new CocosError('MEASURE_UNSUPPORTED', 'the firmware has two sections for kernel hashes');
  }
  const unmeasured = vmm === 'gce' && section.type === 'sec-mem';
  return {
    gpa: section.gpa,
    size: section.size,
    page: unmeasured ? 'unmeasured' : SECTION_PAGES[section.type],
  };
}

function extendSections(
  digest: Uint8Array,
  sections: readonly LaunchSection[],
  hashes: AttestationHashes,
): Uint8Array {
  return sections.reduce((state, s) => extendBare(state, PAGE_TYPE[s.page], s.gpa, s.size, hashes), digest);
}

/** GPA of the hashes table, which must be in the section that the firmware reserves for it. */
function tableAddress(metadata: OvmfMetadata, section: OvmfSection): number {
  const table = metadata.hashesTable;
  if (table === null || table - (table % PAGE_BYTES) !== section.gpa || section.size !== PAGE_BYTES) {
    throw new CocosError('MEASURE_UNSUPPORTED', 'the kernel hashes table lies outside its section');
  }
  return table;
}

/**
 * Launch digest after a firmware's metadata sections up to the kernel hashes page, and the layout after it.
 *
 * @param pages launch digest after the firmware's pages.
 */
export function continueWithMetadata(
  pages: Uint8Array,
  metadata: OvmfMetadata,
  vmm: Vmm,
  hashes: AttestationHashes,
): FirmwareState {
  const isCpuid = (s: OvmfSection): boolean => s.type === 'cpuid';
  const all = metadata.sections;
  const ordered = vmm === 'ec2' ? [...all.filter((s) => !isCpuid(s)), ...all.filter(isCpuid)] : all;
  const index = ordered.findIndex((section) => section.type === 'kernel-hashes');
  const hashesSection = ordered[index];
  const before = hashesSection === undefined ? ordered : ordered.slice(0, index);
  const after = hashesSection === undefined ? [] : ordered.slice(index + 1);
  const convert = (section: OvmfSection): LaunchSection => launchSection(section, vmm);
  return {
    state: bytesToHex(extendSections(pages, before.map(convert), hashes)),
    layout: {
      hashesTable: hashesSection === undefined ? null : tableAddress(metadata, hashesSection),
      sections: after.map(convert),
      apEip: metadata.apEip,
    },
  };
}

/**
 * The part of a launch measurement that depends only on the firmware image and the hypervisor.
 *
 * @param firmware the complete file passed to `-bios`, a multiple of 4096 bytes
 * @throws CocosError MEASURE_UNSUPPORTED
 */
export function firmwareState(
  firmware: Uint8Array,
  hashes: AttestationHashes,
  vmm: Vmm = 'qemu',
): FirmwareState {
  const pages = measureFirmwarePages(firmware, hashes);
  const metadata = readOvmfMetadata(firmware);
  if (metadata === null) return { state: bytesToHex(pages), layout: undefined };
  return continueWithMetadata(pages, metadata, vmm, hashes);
}

export interface VmLaunch {
  readonly firmware: { readonly digest: string; readonly layout?: FirmwareLayout | undefined };
  /** SHA-256 of the kernel file, hex; null when the firmware boots from a disk. */
  readonly kernel: string | null;
  /** SHA-256 of the initrd file, hex; null for none. */
  readonly initrd: string | null;
  readonly commandLine: string;
  readonly vcpus: number;
  /** A model of QEMU, or the CPUID signature of another one (CPUID(1).EAX). */
  readonly vcpuType: string | number;
  readonly guestFeatures: number;
  /** Hypervisor (default: `qemu`). */
  readonly vmm?: Vmm;
}

function extendKernel(
  digest: Uint8Array,
  table: number | null,
  launch: VmLaunch,
  hashes: AttestationHashes,
): Uint8Array {
  const { kernel, initrd, commandLine } = launch;
  if (table === null) {
    if (kernel === null) return digest;
    throw new CocosError('MEASURE_UNSUPPORTED', 'this firmware would boot the kernel without measuring it');
  }
  const offset = table % PAGE_BYTES;
  if (offset > MAX_TABLE_OFFSET)
    throw new CocosError('MEASURE_UNSUPPORTED', 'the hashes table crosses the end of its page');
  if (kernel === null) return extendBare(digest, PAGE_TYPE.zero, table - offset, PAGE_BYTES, hashes);
  const page = kernelHashesPage(table, { kernel, initrd, commandLine }, hashes);
  return extendNormal(digest, table - offset, page, hashes);
}

/**
 * The 48 bytes of MEASUREMENT for a launch.
 *
 * @throws CocosError MEASURE_UNSUPPORTED when the vCPU type is unknown or the firmware cannot measure a kernel.
 */
export function measureVm(launch: VmLaunch, hashes: AttestationHashes): Uint8Array {
  const layout = launch.firmware.layout ?? PLAIN_FIRMWARE_LAYOUT;
  const signature = cpuidSignature(launch.vcpuType);
  const vmsa = (eip: number): Uint8Array =>
    vmsaPage({ eip, signature, guestFeatures: launch.guestFeatures, vmm: launch.vmm ?? 'qemu' });
  let digest = extendKernel(hexToBytes(launch.firmware.digest), layout.hashesTable, launch, hashes);
  digest = extendSections(digest, layout.sections, hashes);
  digest = extendVmsa(digest, vmsa(BSP_EIP), hashes);
  const other = vmsa(layout.apEip);
  for (let index = 1; index < launch.vcpus; index += 1) digest = extendVmsa(digest, other, hashes);
  return digest;
}
