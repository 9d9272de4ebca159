import { concatBytes } from '@noble/hashes/utils.js';
import type { AttestationHashes } from '../../crypto/crypto-port.ts';
import { CocosError } from '../../errors.ts';
import { footerEntries } from './footer-table.ts';
import { type KernelHashes, kernelHashesTable } from './kernel-hashes.ts';
import { readOvmfMetadata } from './ovmf.ts';
import { extendBare, extendNormal, extendVmsa, initialDigest, PAGE_BYTES, PAGE_TYPE } from './page.ts';
import { cpuidSignature } from './vcpu-types.ts';
import { BSP_EIP, svsmVmsaPage, vmsaPage } from './vmsa.ts';

/** Launch digests other than that of a plain SNP guest: SEV and SEV-ES (SHA-256 of all that is loaded), SNP with an SVSM. */

const FIRMWARE_END = 0x1_0000_0000;

export interface SevLaunch {
  /** The complete firmware image. */
  readonly firmware: Uint8Array;
  readonly kernel: KernelHashes | null;
}

const unsupported = (sentence: string): CocosError => new CocosError('MEASURE_UNSUPPORTED', sentence);

function sevParts({ firmware, kernel }: SevLaunch, hashes: AttestationHashes): Uint8Array[] {
  if (footerEntries(firmware) === null)
    throw unsupported('the file is not SEV firmware: it has neither SEV metadata nor a reset block');
  if (kernel === null) return [firmware];
  const table = readOvmfMetadata(firmware)?.hashesTable ?? null;
  if (table === null) throw unsupported('this firmware would boot the kernel without measuring it');
  return [firmware, kernelHashesTable(kernel, hashes)];
}

/** The 32-byte measurement of a SEV launch. @throws CocosError MEASURE_UNSUPPORTED */
export function measureSev(launch: SevLaunch, hashes: AttestationHashes): Uint8Array {
  return hashes.sha256(concatBytes(...sevParts(launch, hashes)));
}

/**
 * The 32-byte measurement of a SEV-ES launch under QEMU.
 *
 * @throws CocosError MEASURE_UNSUPPORTED
 */
export function measureSevEs(
  launch: SevLaunch & { readonly vcpus: number; readonly vcpuType: string | number },
  hashes: AttestationHashes,
): Uint8Array {
  const metadata = readOvmfMetadata(launch.firmware);
  if (metadata === null) throw unsupported('the firmware has no SEV metadata');
  const signature = cpuidSignature(launch.vcpuType);
  const page = (eip: number): Uint8Array => vmsaPage({ eip, signature, guestFeatures: 0, vmm: 'qemu' });
  const other = page(metadata.apEip);
  const pages = Array.from({ length: launch.vcpus }, (_, index) => (index === 0 ? page(BSP_EIP) : other));
  return hashes.sha256(concatBytes(...sevParts(launch, hashes), ...pages));
}

/** Sections of an SVSM's metadata that a launch measures, in table order. */
const SVSM_PAGES = {
  'sec-mem': PAGE_TYPE.zero,
  secrets: PAGE_TYPE.secrets,
  cpuid: PAGE_TYPE.cpuid,
  'svsm-caa': PAGE_TYPE.zero,
} as const;

/**
 * The 48 bytes of MEASUREMENT of a guest under an SVSM (COCONUT-SVSM): the firmware, below it the SVSM, the sections
 * of the SVSM's metadata, then one save area for each vCPU.
 *
 * @param launch.variablesBytes size of the firmware's variable store between the two images.
 * @throws CocosError MEASURE_UNSUPPORTED
 */
export function measureSvsm(
  launch: {
    readonly firmware: Uint8Array;
    readonly svsm: Uint8Array;
    readonly variablesBytes: number;
    readonly vcpus: number;
    readonly vcpuType: string | number;
  },
  hashes: AttestationHashes,
): Uint8Array {
  const { firmware, svsm } = launch;
  const firmwareGpa = FIRMWARE_END - firmware.length;
  const svsmGpa = firmwareGpa - launch.variablesBytes - svsm.length;
  const aligned = [firmwareGpa, svsmGpa].every((gpa) => gpa > 0 && gpa % PAGE_BYTES === 0);
  const metadata = readOvmfMetadata(svsm);
  if (!aligned) throw unsupported('firmware, variables and SVSM are not whole pages');
  if (metadata === null || metadata.svsmEntry === null)
    throw unsupported('the SVSM has no entry point in its metadata');
  let digest = extendNormal(initialDigest(), firmwareGpa, firmware, hashes);
  digest = extendNormal(digest, svsmGpa, svsm, hashes);
  for (const { type, gpa, size } of metadata.sections) {
    if (type === 'kernel-hashes') throw unsupported('an SVSM cannot take kernel hashes');
    digest = extendBare(digest, SVSM_PAGES[type], gpa, size, hashes);
  }
  const page = svsmVmsaPage(svsmGpa + metadata.svsmEntry, cpuidSignature(launch.vcpuType));
  for (let index = 0; index < launch.vcpus; index += 1) digest = extendVmsa(digest, page, hashes);
  return digest;
}
