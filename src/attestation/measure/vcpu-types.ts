import { CocosError } from '../../errors.ts';

/**
 * CPUID(1).EAX of the vCPU models of QEMU that an SNP guest can have. It is the model given to the hypervisor, not
 * the CPU of the machine, and determines RDX of the initial vCPU state.
 */
const SIGNATURES: Readonly<Record<string, { readonly signature: number; readonly versions: number }>> = {
  EPYC: { signature: 0x800f12, versions: 5 },
  'EPYC-IBPB': { signature: 0x800f12, versions: 1 },
  'EPYC-Rome': { signature: 0x830f10, versions: 5 },
  'EPYC-Milan': { signature: 0xa00f11, versions: 3 },
  'EPYC-Genoa': { signature: 0xa10f10, versions: 2 },
  'EPYC-Turin': { signature: 0xb00f10, versions: 1 },
};

/**
 * CPUID signature of a vCPU model by name, with or without a `-v<n>` suffix; a signature is returned as it is.
 *
 * @throws CocosError MEASURE_UNSUPPORTED
 */
export function cpuidSignature(vcpuType: string | number): number {
  if (typeof vcpuType === 'number') return vcpuType;
  const match = /^(EPYC(?:-[A-Z][A-Za-z]+)?)(?:-v([1-9]))?$/.exec(vcpuType);
  const model = match?.[1];
  const row = model !== undefined && Object.hasOwn(SIGNATURES, model) ? SIGNATURES[model] : undefined;
  if (row === undefined || Number(match?.[2] ?? 1) > row.versions) {
    throw new CocosError('MEASURE_UNSUPPORTED', `the vCPU type ${JSON.stringify(vcpuType)} is unknown`, {
      details: { known: Object.keys(SIGNATURES) },
    });
  }
  return row.signature;
}
